"""The commands of those who keep it running: is the database in order, is the machine sound."""

from datetime import UTC, datetime
from pathlib import Path

import click
from rich.text import Text

from sermo_fsm._options import a_moment, database_option, json_option
from sermo_fsm._pictures import Picture, format_of, pictures_here, write_picture
from sermo_fsm._shell import FAILED, Shell, print_json
from sermo_fsm._terminal import counted
from sermo_fsm.check import run_checks
from sermo_fsm.diagram import FORMATS, render
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import SchemaNotReady
from sermo_fsm.migrate import head
from sermo_fsm.views import time_view

__all__ = ["check", "db", "diagram", "sweep", "verify"]

_OK = Text("ok", "green")
_NOT_OK = Text("FAILED", "bold red")


def _verdict(shell: Shell, *, ok: bool) -> Text:
    if not ok:
        shell.status = FAILED
    return _OK if ok else _NOT_OK


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
    verdict = _verdict(shell, ok=found.ok)
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


@click.command(epilog="\b\nExample\n  sermo-fsm check --json")
@json_option
@click.pass_obj
def check(shell: Shell, *, as_json: bool) -> None:
    """Prove what the machine promises, case by case.

    Above all: the order of reading does not matter, only the order of receiving.
    """
    report = run_checks()
    verdicts = [_verdict(shell, ok=one.ok) for one in report.checks]
    if as_json:
        print_json(report.view())
        return
    for verdict, one in zip(verdicts, report.checks, strict=True):
        shell.page.say(verdict, f"{one.name}: {one.summary} ({counted(one.count, 'case')})")
        for problem in one.problems:
            shell.page.say(f"  {problem}")


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm diagram
      sermo-fsm diagram --format dot | dot -Tsvg >machine.svg
      sermo-fsm diagram -o machine.mmd
      sermo-fsm diagram --check
    """
)
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By default what FILE is named.")
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write there instead of to standard output.",
)
@click.option(
    "--check",
    "checks",
    is_flag=True,
    help="Write nothing: is FILE, or each file of ./diagrams, what would be drawn?",
)
@json_option
@click.pass_obj
def diagram(
    shell: Shell, *, kind: str | None, path: Path | None, checks: bool, as_json: bool
) -> None:
    """Draw the machine, as text for drawing tools."""
    path = None if path == Path("-") else path
    if path is not None:
        kind = kind or format_of(path)
        if kind is None:
            raise click.UsageError(f"{path} does not say which --format it is to have")
    if checks:
        pictures = [Picture(path, kind)] if path and kind else list(pictures_here(kind))
        _compare(shell, pictures, as_json=as_json)
        return
    kind = kind or FORMATS[0]
    text = render(kind)
    if path is not None:
        write_picture(path, text)
    if as_json:
        print_json({"format": kind, "file": path and str(path), "diagram": text})
    elif path is None:
        click.echo(text, nl=False)


def _compare(shell: Shell, pictures: list[Picture], *, as_json: bool) -> None:
    views = [picture.view() for picture in pictures]
    verdicts = [_verdict(shell, ok=view["problem"] is None) for view in views]
    if as_json:
        print_json({"ok": not shell.status, "files": views})
        return
    for verdict, view in zip(verdicts, views, strict=True):
        again = (
            f": {view['problem']}; sermo-fsm diagram --format {view['format']} -o {view['file']}"
        )
        shell.page.say(verdict, view["file"] + (again if view["problem"] else ""))


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
