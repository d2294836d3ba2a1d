"""Options that several commands have, and what their values are read by."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import click
from attrs import frozen
from click.core import ParameterSource

from sermo_fsm.cli.shell import DEFAULT_DATABASE, Shell
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.fields import AN_ID, BIGGEST_INTEGER, is_id
from sermo_fsm.protocol.json_reader import parse_time

__all__ = [
    "MOST_ROWS",
    "NamedChat",
    "a_moment",
    "a_name",
    "a_platform",
    "a_policy",
    "after_option",
    "chat_options",
    "database_option",
    "json_option",
    "limit_option",
    "main_database_option",
    "output_option",
    "schema_option",
]

MOST_ROWS: Final = 2**31 - 1

_Command = TypeVar("_Command", bound=Callable[..., Any])


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
        typed = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if param.name == "db":
            shell.database, shell.typed = value, typed
        else:
            shell.schema, shell.schema_typed = value or None, typed


# Both before the command and after it, because people type both. What is typed last wins, and the
# variable only where nothing is typed: so it belongs to the first.
def main_database_option(command: _Command) -> _Command:
    """Which database, before the command."""
    url = click.option(
        "--db",
        metavar="URL",
        envvar="SERMO_DB",
        show_envvar=True,
        expose_value=False,
        callback=_choose,
        help=f"Database; by default {DEFAULT_DATABASE}. Can also stand behind the command.",
    )
    schema = click.option(
        "--schema",
        metavar="NAME",
        envvar="SERMO_SCHEMA",
        show_envvar=True,
        expose_value=False,
        callback=_choose,
        help="Schema of our tables, on PostgreSQL. Likewise.",
    )
    return url(schema(command))


def database_option(command: _Command) -> _Command:
    """Which database, after the command."""
    url = click.option(
        "--db",
        metavar="URL",
        expose_value=False,
        callback=_choose,
        help=f"Database; else SERMO_DB, else {DEFAULT_DATABASE}.",
    )
    return url(schema_option(command))


def schema_option(command: _Command) -> _Command:
    """Which schema in it, after the command."""
    return click.option(
        "--schema",
        metavar="NAME",
        expose_value=False,
        callback=_choose,
        help="Schema of our tables, on PostgreSQL; else SERMO_SCHEMA.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")
output_option = click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write there instead of to standard output.",
)
limit_option = click.option(
    "--limit", metavar="N", type=click.IntRange(0, MOST_ROWS), help="At most so many."
)


def after_option(column: str, most: int = BIGGEST_INTEGER) -> Callable[[_Command], _Command]:
    """Go on behind the row with this number."""
    return click.option(
        "--after",
        metavar="N",
        type=click.IntRange(0, most),
        help=f"Only what comes behind the row with this {column}.",
    )


def chat_options(command: _Command) -> _Command:
    """``PLATFORM USER``, or ``--session ID``: the parameters *platform*, *user*, *session_id*."""
    user = click.argument("user", type=a_name, required=False)
    session = click.option(
        "--session", "session_id", metavar="ID", type=a_name, help="Of this session."
    )
    return click.argument("platform", type=a_name, required=False)(user(session(command)))


@frozen
class NamedChat:
    """A chat as it was named on the command line.

    Raises:
        click.UsageError: Nothing is named, half a user, or a user and a session.
    """

    platform: str | None
    user: str | None
    session_id: str | None

    def __attrs_post_init__(self) -> None:
        whole = (self.platform is None) is (self.user is None)
        if not whole or (self.session_id is None) is (self.user is None):
            raise click.UsageError("name a PLATFORM and a USER, or a --session")

    def find(self, engine: ChatEngine) -> ChatSession | None:
        """Where it stands."""
        if self.platform is not None and self.user is not None:
            return engine.status(self.platform, self.user)
        return engine.session(self.session_id or "")

    def __str__(self) -> str:
        if self.user is None:
            return f"session: {self.session_id or repr('')}"
        return f"user: {self.user} on {self.platform}"
