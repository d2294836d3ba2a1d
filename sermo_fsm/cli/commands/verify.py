"""``sermo-fsm verify``: check the stored history."""

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized

__all__ = ["verify"]


@click.command(epilog="\b\nExample\n  sermo-fsm verify || echo 'the tables were edited by hand'")
@database_option
@json_option
@click.pass_obj
def verify(shell: Shell, *, as_json: bool) -> None:
    """Replay the stored history and check that it is consistent.

    The rows of every chat must form a chain without gaps that ends in the chat's state.
    """
    with shell.engine() as engine:
        found = engine.verify()
    verdict = shell.verdict(ok=found.ok)
    if as_json:
        problems = [
            {"sessionId": problem.session_id, "seq": problem.seq, "what": problem.what}
            for problem in found.problems
        ]
        counts = {"sessions": found.sessions, "rows": found.rows}
        print_json({"ok": found.ok, **counts, "problems": problems})
        return
    for problem in found.problems:
        place = "" if problem.seq is None else f" row {problem.seq}"
        shell.printer.print_line(f"{problem.session_id}{place}: {problem.what}")
    sessions, rows = pluralized(found.sessions, "session"), pluralized(found.rows, "row")
    shell.printer.print_line(verdict, f"{sessions} with {rows}")
