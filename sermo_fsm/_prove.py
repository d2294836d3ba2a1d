"""The command that says whether the machine is right."""

import click

from sermo_fsm._options import json_option
from sermo_fsm._shell import Shell, print_json
from sermo_fsm._terminal import counted
from sermo_fsm.check import run_checks

__all__ = ["check"]


@click.command(epilog="\b\nExample\n  sermo-fsm check --json")
@json_option
@click.pass_obj
def check(shell: Shell, *, as_json: bool) -> None:
    """Prove what the machine promises, case by case.

    Above all: the order of reading does not matter, only the order of receiving.
    """
    report = run_checks()
    verdicts = [shell.verdict(ok=one.ok) for one in report.checks]
    if as_json:
        print_json(report.view())
        return
    for verdict, one in zip(verdicts, report.checks, strict=True):
        shell.page.say(verdict, f"{one.name}: {one.summary} ({counted(one.count, 'case')})")
        for problem in one.problems:
            shell.page.say(f"  {problem}")
