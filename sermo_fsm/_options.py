"""Options that several commands have, and what their values are read by."""

import os
from datetime import datetime
from pathlib import Path
from typing import Final

import click
from click.core import ParameterSource

from sermo_fsm._shell import DEFAULT_DATABASE, Shell
from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.fields import AN_ID, is_id
from sermo_fsm.jsontext import parse_time
from sermo_fsm.policy import Policy

__all__ = [
    "a_moment",
    "a_name",
    "a_platform",
    "a_policy",
    "database_option",
    "json_option",
    "limit_option",
    "main_database_option",
]

_MOST_ROWS: Final = 2**31 - 1


def a_name(value: str) -> str:
    """An id, as the UTF-8 that it was typed in, whatever the locale takes it for."""
    try:
        return value if value.isprintable() else os.fsencode(value).decode()
    except UnicodeError:
        raise click.BadParameter("it is not UTF-8") from None


def a_platform(value: str) -> str:
    """A name that a platform can have."""
    name = a_name(value)
    if not is_id(name):
        raise click.BadParameter(f"wanted {AN_ID}")
    return name


def a_moment(value: str) -> datetime:
    """A time with a zone, in UTC."""
    try:
        return parse_time(value, "$")
    except InvalidEvent as error:
        raise click.BadParameter(f"wanted {error.wanted}") from None


def a_policy(value: str) -> Policy:
    """The policy in this file."""
    try:
        return Policy.from_toml(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value}: it is not UTF-8") from None
    except InvalidArgument as error:
        raise click.BadParameter(f"{value}: {error}") from None


def _choose(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    shell = ctx.ensure_object(Shell)
    if value is not None:
        shell.database = value
        shell.typed = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE


# Both before the command and after it, because people type both. What is typed last wins, and the
# variable only where nothing is typed: so it belongs to the first.
main_database_option = click.option(
    "--db",
    metavar="URL",
    envvar="SERMO_DB",
    show_envvar=True,
    expose_value=False,
    callback=_choose,
    help=f"Database; by default {DEFAULT_DATABASE}. Can also stand behind the command.",
)
database_option = click.option(
    "--db",
    metavar="URL",
    expose_value=False,
    callback=_choose,
    help=f"Database; else SERMO_DB, else {DEFAULT_DATABASE}.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
limit_option = click.option(
    "--limit", metavar="N", type=click.IntRange(0, _MOST_ROWS), help="At most so many."
)
