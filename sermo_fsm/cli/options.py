"""Options that several commands have, and the types of their values."""

import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from attrs import frozen
from click.core import ParameterSource

from sermo_fsm.cli.shell import DEFAULT_DATABASE, Shell
from sermo_fsm.core.policy import Policy
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import InvalidArgument, InvalidEvent
from sermo_fsm.protocol.fields import AN_ID, BIGGEST_INTEGER, is_id
from sermo_fsm.protocol.json_reader import parse_time

if TYPE_CHECKING:
    from sermo_fsm.engine import ChatEngine

__all__ = [
    "MAX_ROWS",
    "ChatSelector",
    "after_option",
    "chat_options",
    "database_option",
    "format_for",
    "json_option",
    "limit_option",
    "main_database_option",
    "output_option",
    "platform_id",
    "policy_file",
    "schema_option",
    "utc_time",
    "utf8_id",
]

MAX_ROWS: Final = 2**31 - 1

_Command = TypeVar("_Command", bound=Callable[..., Any])


def utf8_id(value: str) -> str:
    """An id, decoded as UTF-8 whatever the locale."""
    try:
        return value if value.isprintable() else os.fsencode(value).decode()
    except UnicodeError:
        raise click.BadParameter("it is not UTF-8") from None


def platform_id(value: str) -> str:
    """An id that a platform can have."""
    name = utf8_id(value)
    if not is_id(name):
        raise click.BadParameter(f"wanted {AN_ID}")
    return name


def utc_time(value: str) -> datetime:
    """A time with a time zone, converted to UTC."""
    try:
        return parse_time(value, "$")
    except InvalidEvent as error:
        raise click.BadParameter(f"wanted {error.wanted}") from None


def policy_file(value: str) -> Policy:
    """The policy in a TOML file."""
    try:
        return Policy.from_toml(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value}: it is not UTF-8") from None
    except InvalidArgument as error:
        raise click.BadParameter(f"{value}: {error}") from None


def format_for(
    path: Path | None,
    format_of: Callable[[Path], str | None],
    option: str | None,
    default: str,
) -> str:
    """The format to write.

    Args:
        path: The output file; None for standard output.
        format_of: Returns the format that the suffix of a path stands for, if any.
        option: What ``--format`` says.
        default: The format on standard output.

    Raises:
        click.UsageError: Neither the file nor the option says it, or they contradict each other.
    """
    if path is None:
        return option or default
    named = format_of(path)
    if option is None and named is None:
        raise click.UsageError(f"the name {path} does not say which format to write; add --format")
    if option is not None and named not in (None, option):
        raise click.UsageError(f"the name {path} says {named}, but --format says {option}")
    return option or named or default


def _choose_database(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    shell = ctx.ensure_object(Shell)
    if value is not None:
        typed = ctx.get_parameter_source(param.name or "") is ParameterSource.COMMANDLINE
        if param.name == "db":
            shell.database, shell.url_typed = value, typed
        else:
            shell.schema, shell.schema_typed = value or None, typed


# --db and --schema are accepted before and after the command, and the last one counts. The
# environment variables belong to those before the command, so that anything typed overrides them.
def main_database_option(command: _Command) -> _Command:
    """Add ``--db`` and ``--schema`` before the command."""
    url = click.option(
        "--db",
        metavar="URL",
        envvar="SERMO_DB",
        show_envvar=True,
        expose_value=False,
        callback=_choose_database,
        help=f"Database; by default {DEFAULT_DATABASE}. Also accepted after the command.",
    )
    schema = click.option(
        "--schema",
        metavar="NAME",
        envvar="SERMO_SCHEMA",
        show_envvar=True,
        expose_value=False,
        callback=_choose_database,
        help="Schema of the tables, on PostgreSQL. Also accepted after the command.",
    )
    return url(schema(command))


def database_option(command: _Command) -> _Command:
    """Add ``--db`` and ``--schema`` after the command."""
    url = click.option(
        "--db",
        metavar="URL",
        expose_value=False,
        callback=_choose_database,
        help=f"Database; by default SERMO_DB, or else {DEFAULT_DATABASE}.",
    )
    return url(schema_option(command))


def schema_option(command: _Command) -> _Command:
    """Add ``--schema`` after the command."""
    return click.option(
        "--schema",
        metavar="NAME",
        expose_value=False,
        callback=_choose_database,
        help="Schema of the tables, on PostgreSQL; by default SERMO_SCHEMA.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
output_option = click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write to FILE instead of standard output.",
)
limit_option = click.option(
    "--limit", metavar="N", type=click.IntRange(0, MAX_ROWS), help="Print at most N."
)


def after_option(column: str, most: int = BIGGEST_INTEGER) -> Callable[[_Command], _Command]:
    """Add ``--after N``, which continues a listing after the row whose *column* is N."""
    return click.option(
        "--after",
        metavar="N",
        type=click.IntRange(0, most),
        help=f"Continue after the row with {column} N.",
    )


def chat_options(command: _Command) -> _Command:
    """Add ``PLATFORM USER`` and ``--session ID``, as *platform*, *user* and *session_id*."""
    user = click.argument("user", type=utf8_id, required=False)
    session = click.option(
        "--session", "session_id", metavar="ID", type=utf8_id, help="The session with this id."
    )
    return click.argument("platform", type=utf8_id, required=False)(user(session(command)))


@frozen
class ChatSelector:
    """The chat that a command is about: a user's last chat, or the session with an id.

    Raises:
        click.UsageError: There is neither a user nor a session, half a user, or both.
    """

    platform: str | None
    user: str | None
    session_id: str | None

    def __attrs_post_init__(self) -> None:
        whole = (self.platform is None) is (self.user is None)
        if not whole or (self.session_id is None) is (self.user is None):
            raise click.UsageError("give either PLATFORM and USER, or --session")

    def find(self, engine: "ChatEngine") -> ChatSession | None:
        """The session in the database; None if there is none."""
        if self.platform is not None and self.user is not None:
            return engine.status(self.platform, self.user)
        return engine.session(self.session_id or "")

    def __str__(self) -> str:
        if self.user is None:
            return f"session: {self.session_id or repr('')}"
        return f"user: {self.user} on {self.platform}"
