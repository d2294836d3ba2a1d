"""``sermo-fsm check``: prove what the machine guarantees."""

from collections.abc import Iterable, Sequence
from typing import Final

import click

from sermo_fsm.cli.check_against import DEFAULT_LIMIT, check_against
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import MAX_ROWS, json_option, schema_option
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized, styled
from sermo_fsm.proof.report import Check
from sermo_fsm.proof.run import run_checks

__all__ = ["check", "print_checks"]

_MAX_PROBLEMS: Final = 10


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm check --json
      sermo-fsm check --against postgresql+psycopg://me@db/chats
    """
)
@click.option(
    "--against",
    metavar="URL",
    help="Check the rows of this database against today's table. Changes nothing there.",
)
@schema_option
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(0, MAX_ROWS),
    help=f"With --against: list at most N live chats of each kind; by default {DEFAULT_LIMIT}.",
)
@json_option
@click.pass_obj
def check(shell: Shell, *, against: str | None, limit: int | None, as_json: bool) -> None:
    """Prove what the machine guarantees, case by case.

    The main guarantee is that only the order in which events were received matters, not the order
    in which they are read. It has exceptions where a chat begins or ends; each of them is counted
    and explained.

    With --against: could the chats of a database have gone the same way under the table of this
    release? Prints the differences by cell of the table; then the live chats that would now be in
    another state; then those that can't be replayed, because a chat would have ended or begun at
    another event. Quiet events, such as heartbeats, are not stored, so a change to their effect
    does not show.
    """
    if against is not None:
        check_against(shell, against, limit, as_json=as_json)
        return
    if limit is not None:
        raise click.UsageError("--limit needs --against")
    with progress_bar("situations") as report_progress:
        report = run_checks(report_progress)
    if as_json:
        shell.verdict(ok=report.ok)
        print_json(report.view())
    else:
        print_checks(shell, report.checks)


def print_checks(shell: Shell, checks: Iterable[Check]) -> None:
    """Print each check with its problems and its findings."""
    for proof in checks:
        verdict = shell.verdict(ok=proof.ok)
        cases = pluralized(proof.count, proof.unit)
        shell.printer.print_line(verdict, f"{proof.name}: {proof.summary} ({cases})")
        _print_problems(shell, proof.problems)
        _print_findings(shell, proof)


def _print_problems(shell: Shell, problems: Sequence[str]) -> None:
    for problem in problems[:_MAX_PROBLEMS]:
        shell.printer.print_line(f"  {problem}")
    if len(problems) > _MAX_PROBLEMS:
        more = len(problems) - _MAX_PROBLEMS
        shell.printer.print_line(f"  and {more} more; --json has them all")


def _print_findings(shell: Shell, of: Check) -> None:
    width = max((len(str(finding.count)) for finding in of.findings), default=0)
    for finding in of.findings:
        shell.printer.print_line(f"  {finding.count:{width}}", styled(finding.name, "bold"))
        shell.printer.print_line(f"  {'':{width}} {finding.reason}")
