"""The command that says whether the machine is right."""

from collections.abc import Iterable, Sequence
from typing import Final

import click

from sermo_fsm.cli.check_against import against_options, compare
from sermo_fsm.cli.options import json_option
from sermo_fsm.cli.progress import counting
from sermo_fsm.cli.shell import Shell, print_json
from sermo_fsm.cli.terminal import counted, word
from sermo_fsm.proof.report import Check
from sermo_fsm.proof.run import run_checks

__all__ = ["check", "print_checks"]

_MOST_PROBLEMS: Final = 10


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm check --json
      sermo-fsm check --against postgresql+psycopg://me@db/chats
    """
)
@against_options
@json_option
@click.pass_obj
def check(
    shell: Shell,
    *,
    against: str | None,
    limit: int | None,
    as_json: bool,
) -> None:
    """Prove what the machine promises, case by case.

    Above all: the order of reading does not matter, only the order of receiving. Where that ends,
    at the edges of a chat, every exception is counted and has its reason.

    With --against: is what a database holds possible under the table of this release? What is not
    is told by cell, then the live chats that would be somewhere else, then those of which it can't
    be told because a chat would have ended or begun at another event. Quiet events, such as
    heartbeats, left no row: a change to what they do does not show.
    """
    if compare(shell, against, limit, as_json=as_json):
        return
    with counting("situations") as tell:
        report = run_checks(tell)
    if as_json:
        shell.verdict(ok=report.ok)
        print_json(report.view())
    else:
        print_checks(shell, report.checks)


def print_checks(shell: Shell, checks: Iterable[Check]) -> None:
    """Print each check with its problems and its findings."""
    for one in checks:
        verdict = shell.verdict(ok=one.ok)
        shell.page.say(verdict, f"{one.name}: {one.summary} ({counted(one.count, one.unit)})")
        _print_problems(shell, one.problems)
        _print_findings(shell, one)


def _print_problems(shell: Shell, problems: Sequence[str]) -> None:
    for problem in problems[:_MOST_PROBLEMS]:
        shell.page.say(f"  {problem}")
    if len(problems) > _MOST_PROBLEMS:
        shell.page.say(f"  and {len(problems) - _MOST_PROBLEMS} more; --json has them all")


def _print_findings(shell: Shell, of: Check) -> None:
    width = max((len(str(finding.count)) for finding in of.findings), default=0)
    for finding in of.findings:
        shell.page.say(f"  {finding.count:{width}}", word(finding.name, "bold"))
        shell.page.say(f"  {'':{width}} {finding.reason}")
