"""``sermo-fsm figures``: what support managers ask."""

import re
from collections.abc import Generator, Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

from sermo_fsm.cli.csv_output import print_csv
from sermo_fsm.cli.figure_rows import figure_cells, load_cells
from sermo_fsm.cli.json_output import print_json
from sermo_fsm.cli.options import (
    csv_option,
    database_option,
    json_option,
    time_option,
    utf8_id,
    zone_option,
)
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.progress import progress_bar
from sermo_fsm.cli.shell import Shell
from sermo_fsm.cli.text import pluralized, styled
from sermo_fsm.cli.waits_file import WaitsFile
from sermo_fsm.core.json_form import time_view
from sermo_fsm.picture.formats.palette import Theme
from sermo_fsm.views.figure_facts import SHORT, TARGET, Fact, Thresholds, facts_of
from sermo_fsm.views.figure_rows import FIGURE_COLUMNS, figure_rows, length_in_words
from sermo_fsm.views.figures import FORMULAS, LENGTHS, Figures, Grouping
from sermo_fsm.views.visit import Visit

__all__ = ["figures"]

_NOT_LISTED: Final = "load"
_LISTED: Final = [name for name in FORMULAS if name != _NOT_LISTED]


def _seconds(value: str) -> timedelta:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise click.BadParameter("wanted a whole number of seconds, from 0 to 999999999")
    return timedelta(seconds=int(value))


def _figure(value: str) -> str:
    for name in _LISTED:
        if name.lower() == value.lower():
            return name
    wanted = f"wanted one of {', '.join(_LISTED)}"
    if value.lower() == _NOT_LISTED:
        wanted = f"it counts chats that are there at the same time, and lists none; {wanted}"
    raise click.BadParameter(f"{value}: {wanted}")


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm figures --since yesterday --until today
      sermo-fsm figures --since 2026-03-01 --by day --zone Europe/Stockholm --csv
      sermo-fsm figures --since today --target 30 --explain
      sermo-fsm figures --since today --list abandonment
      sermo-fsm figures --since today -o waits.svg

    A visit is a session and those that resumed it. Visits that opened from --since on and before
    --until are counted, with all that happened in them; those that are not over only as live. A
    visit that is past its deadline is not over until it is swept: run "sermo-fsm sweep" first.

    Hours, days and weeks are those of --zone, in JSON too, where hours have their offset from UTC;
    since and until there are in UTC. -o draws the waits by hour, or --by day or week, as SVG or
    PNG; that needs an extra: pip install 'sermo-fsm[charts]'.
    """
)
@time_option("--since", help="Visits that opened at TIME or later.")
@time_option("--until", help="Visits that opened before TIME.")
@click.option(
    "--by",
    type=click.Choice([one.value for one in Grouping]),
    help="Figures for each of these; a visit is counted for the agent who had it first.",
)
@click.option("--platform", metavar="ID", type=utf8_id, help="Visits to this platform.")
@click.option(
    "--target",
    metavar="SECONDS",
    type=_seconds,
    default=f"{TARGET.total_seconds():.0f}",
    show_default=True,
    help="An answer within this time is in time.",
)
@click.option(
    "--short",
    metavar="SECONDS",
    type=_seconds,
    default=f"{SHORT.total_seconds():.0f}",
    show_default=True,
    help="Who gives up sooner is left out of the rates.",
)
@click.option("--explain", is_flag=True, help="Print how each figure is calculated.")
@click.option(
    "--list",
    "listed",
    metavar="FIGURE",
    type=_figure,
    help=f"List the chats behind a figure: {', '.join(_LISTED)}.",
)
@click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Draw waits and visits over time to FILE, .svg or .png.",
)
@click.option(
    "--theme",
    type=click.Choice([one.value for one in Theme]),
    help="Of the picture; by default light.",
)
@zone_option
@database_option
@csv_option
@json_option
@click.pass_obj
def figures(  # noqa: PLR0913 - one for each option
    shell: Shell,
    *,
    since: datetime | None,
    until: datetime | None,
    by: str | None,
    platform: str | None,
    target: timedelta,
    short: timedelta,
    explain: bool,
    listed: str | None,
    path: Path | None,
    theme: str | None,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Count waits, answers, who gave up, and what the bot solved by itself."""
    _check_options(path, listed, by, explain=explain, as_csv=as_csv, as_json=as_json)
    picture = WaitsFile.wanted(path, by, theme)
    if listed:
        with shell.engine() as engine:
            chats = engine.visits(since=since, until=until, platform=platform)
            shell.print_list(
                _listed(chats, listed, Thresholds(target, short), shell.printer.now),
                _LISTED_COLUMNS,
                lambda one: one,
                lambda rows: _print_listed(shell.printer, rows),
                as_json=as_json,
                as_csv=as_csv,
            )
        return
    with shell.engine() as engine, progress_bar("rows") as progress:
        found = engine.figures(
            progress=progress,
            since=since,
            until=until,
            platform=platform,
            by=picture.by if picture else by,
            zone=shell.zone,
            target=target,
            short=short,
        )
    if picture:
        picture.write(found, shell.zone, platform)
    elif as_json:
        print_json(found.as_dict())
    elif as_csv:
        _print_csv(found)
    else:
        formulas = _formulas(target, short)
        if explain:
            _print_figures(shell.printer, found)
            for formula in (*formulas.values(), LENGTHS):
                shell.printer.print_line(formula)
        else:  # others count the service level differently
            _print_figures(shell.printer, found, formulas["serviceLevel"])


def _check_options(
    path: Path | None,
    listed: str | None,
    by: str | None,
    *,
    explain: bool,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Refuse what contradicts itself."""
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    if explain and (as_json or as_csv or listed):
        raise click.UsageError("--explain is for people: not with --json, --csv or --list")
    if path and (as_json or as_csv or explain or listed):
        raise click.UsageError("-o draws: not with --json, --csv, --explain or --list")
    if listed and by:
        raise click.UsageError("--list lists the chats of all groups, so it takes no --by")


_LISTED_COLUMNS: Final = (
    *("sessionId", "platformId", "userId", "openedAt", "closedAt", "part", "by", "seconds"),
)


def _listed(
    chats: Generator[Visit, None, None], figure: str, thresholds: Thresholds, now: datetime
) -> Iterator[dict[str, Any]]:
    with closing(chats):
        for visit in _with_returning_users(chats) if figure == "repeatVisits" else chats:
            facts = facts_of(visit, thresholds, now)
            yield from (_chat_of(visit, fact) for fact in facts if fact.figure == figure)


def _with_returning_users(chats: Iterator[Visit]) -> Iterator[Visit]:
    """The visits to the platforms where users are known to return, which only the last may tell."""
    visits = list(chats)
    platforms = {visit.platform_id for visit in visits if visit.has_others}
    return (visit for visit in visits if visit.platform_id in platforms)


def _chat_of(visit: Visit, fact: Fact) -> dict[str, Any]:
    cells = (
        *(visit.session_ids[0], visit.platform_id, visit.user_id),
        *(time_view(visit.opened_at), time_view(visit.closed_at)),
        *(fact.part, fact.by, None if fact.length is None else fact.length.total_seconds()),
    )
    return dict(zip(_LISTED_COLUMNS, map(_plain, cells), strict=True))


def _plain(value: object) -> object:
    """A word of an enumeration as text, and no text as None."""
    return (str(value) or None) if isinstance(value, str) else value


def _print_listed(printer: Printer, rows: Iterator[dict[str, Any]]) -> None:
    columns = ("platform", "user", "opened", "part", "by", "length", "session")
    printer.print_chats(
        columns,
        (
            [
                styled(row["platformId"]),
                styled(row["userId"]),
                printer.time_cell(datetime.fromisoformat(row["openedAt"])),
                styled(row["part"]),
                styled(row["by"]),
                styled(length_in_words(row["seconds"])),
                styled(row["sessionId"], "dim"),
            ]
            for row in rows
        ),
    )


def _print_csv(found: Figures) -> None:
    groups = found.as_dict()["figures"]
    rows = ((name, *row.values) for name, group in groups.items() for row in figure_rows(group))
    print_csv(("group", *FIGURE_COLUMNS), rows)


def _print_figures(printer: Printer, found: Figures, *lines: str) -> None:
    """Print each group, with these lines beneath its tables."""
    since, until = (time_view(one, printer.zone) for one in (found.since, found.until))
    span = " ".join(
        (*((f"from {since}",) if since else ()), *((f"before {until}",) if until else ()))
    )
    printer.print_line(f"visits opened {span or 'at any time'}; times in {found.zone}")
    groups = found.as_dict()["figures"]
    if not groups:
        printer.print_line(pluralized(0, "visit"))
    for name, group in groups.items():
        printer.print_line(_title(name, group["visits"]["opened"]))
        rows = (row for row in figure_rows(group) if row.max is None and (not row.part or row.n))
        printer.print_parts(FIGURE_COLUMNS[:-1], map(figure_cells, rows))
        if group["load"]:
            printer.print_parts(("hour", "load", "mean", "max"), load_cells(group["load"]))
        for line in (*lines, *(": ".join(note) for note in group["notes"].items())):
            printer.print_line(line)


def _title(name: str, opened: int) -> str:
    return f"{name or 'no agent'}: {pluralized(opened, 'visit')}"


def _formulas(target: timedelta, short: timedelta) -> dict[str, str]:
    words = {
        "target": length_in_words(target.total_seconds()),
        "short": length_in_words(short.total_seconds()),
    }
    return {name: f"{name} = {formula.format(**words)}" for name, formula in FORMULAS.items()}
