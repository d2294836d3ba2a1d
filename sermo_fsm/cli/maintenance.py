"""The commands of those who keep it running: is the database in order."""

from datetime import UTC, datetime

import click

from sermo_fsm.cli.options import a_moment, database_option, json_option
from sermo_fsm.cli.shell import Shell, print_json
from sermo_fsm.cli.terminal import counted
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import SchemaNotReady
from sermo_fsm.migrate import head
from sermo_fsm.views.json_views import time_view

__all__ = ["db", "sweep", "verify"]


@click.command(
    epilog="""
    Run it now and then, by cron or the like: the customer's own next event would close an overdue
    chat just as well, but it may never come.

    \b
    Examples
      sermo-fsm sweep
      sermo-fsm sweep --up-to 2026-03-04T17:00:00Z
    """
)
@click.option(
    "--up-to",
    metavar="TIME",
    type=a_moment,
    help="Time to which the inbound queue has been read; by default now.",
)
@database_option
@json_option
@click.pass_obj
def sweep(shell: Shell, *, up_to: datetime | None, as_json: bool) -> None:
    """Close every chat that is past its deadline."""
    moment = up_to or datetime.now(UTC)
    with shell.engine() as engine:
        closed = len(engine.sweep(moment))
    if as_json:
        print_json({"upTo": time_view(moment), "closed": closed})
    else:
        shell.page.say(f"{counted(closed, 'session')} closed, up to {time_view(moment)}")


@click.command(epilog="\b\nExample\n  sermo-fsm verify || echo 'somebody wrote into our tables'")
@database_option
@json_option
@click.pass_obj
def verify(shell: Shell, *, as_json: bool) -> None:
    """Replay the stored history and see whether it holds.

    Every chat has to be a gapless chain of rows that ends where the chat is.
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
        shell.page.say(f"{problem.session_id}{place}: {problem.what}")
    sessions, rows = counted(found.sessions, "session"), counted(found.rows, "row")
    shell.page.say(verdict, f"{sessions} with {rows}")


@click.group()
@database_option
def db() -> None:
    """Create or upgrade the tables, or see their revision."""


@db.command(epilog="\b\nExample\n  sermo-fsm db upgrade --db sqlite:///sermo.db")
@database_option
@json_option
@click.pass_obj
def upgrade(shell: Shell, *, as_json: bool) -> None:
    """Create the tables, or bring them up to date.

    Harmless where nothing is to be done.
    """
    with shell.engine(prepare=ChatEngine.migrate):
        _print_revision(shell, head(), as_json=as_json)


@db.command(epilog="\b\nExample\n  sermo-fsm db current --json")
@database_option
@json_option
@click.pass_obj
def current(shell: Shell, *, as_json: bool) -> None:
    """Print the revision of the tables.

    Exit status 3 where it is not the one of this release.
    """
    try:
        with shell.engine():
            _print_revision(shell, head(), as_json=as_json)
    except SchemaNotReady as error:
        _print_revision(shell, error.current, as_json=as_json)
        raise


def _print_revision(shell: Shell, revision: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"current": revision, "wanted": head()})
    else:
        shell.page.say(revision or "no tables")
