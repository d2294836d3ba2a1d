"""``sermo-fsm db``: the tables and their revision."""

import click

from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import database_option, json_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import SchemaNotReady
from sermo_fsm.migrate import head

__all__ = ["db"]


@click.group()
@database_option
def db() -> None:
    """Create or upgrade the tables, or show their revision."""


@db.command(epilog="\b\nExample\n  sermo-fsm db upgrade --db sqlite:///sermo.db")
@database_option
@json_option
@click.pass_obj
def upgrade(shell: Shell, *, as_json: bool) -> None:
    """Create the tables, or bring them up to date.

    Does nothing if they are up to date.
    """
    with shell.engine(prepare=ChatEngine.migrate):
        _print_revision(shell, head(), as_json=as_json)


@db.command(epilog="\b\nExample\n  sermo-fsm db current --json")
@database_option
@json_option
@click.pass_obj
def current(shell: Shell, *, as_json: bool) -> None:
    """Print the revision of the tables.

    The exit status is 3 if it is not the revision of this release.
    """
    try:
        with shell.engine():
            _print_revision(shell, head(), as_json=as_json)
    except SchemaNotReady as error:
        _print_revision(shell, error.current, as_json=as_json)
        raise


@db.command(
    epilog="""
    \b
    Example
      sermo-fsm db chain --db postgresql+psycopg://… >>/somewhere/else/digests

    Keep what it prints where nobody who can write to the database can change it, and hand it to
    "sermo-fsm verify --digest".
    """
)
@database_option
@json_option
@click.pass_obj
def chain(shell: Shell, *, as_json: bool) -> None:
    """Put new rows of the history into the chain of digests.

    Whoever changes, deletes or slips in a row afterwards breaks the chain.
    """
    with shell.engine() as engine:
        found = engine.extend_chain()
    if as_json:
        print_json({"digest": found.digest, "segments": found.segments, "rows": found.rows})
    else:
        rows = pluralized(found.rows, "row")
        shell.printer.print_line(found.digest or "no digest", rows)


def _print_revision(shell: Shell, revision: str | None, *, as_json: bool) -> None:
    if as_json:
        print_json({"current": revision, "wanted": head()})
    else:
        shell.printer.print_line(revision or "no tables")
