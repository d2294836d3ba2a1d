"""Options that several commands have, and the types of their values."""

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click
from attrs import frozen
from click.core import ParameterSource

from sermo_fsm.cli.shell import DEFAULT_DATABASE, Shell
from sermo_fsm.cli.times import A_TIME, read_time, zone_named
from sermo_fsm.core.policy import Policy, length_of
from sermo_fsm.core.session import ChatSession
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.fields import AN_ID, BIGGEST_INTEGER, is_id

if TYPE_CHECKING:
    from sermo_fsm.engine import ChatEngine

__all__ = [
    "MAX_ROWS",
    "ChatSelector",
    "after_option",
    "bodies_option",
    "by_option",
    "chat_options",
    "csv_option",
    "database_option",
    "format_for",
    "json_option",
    "json_or_bodies_option",
    "length",
    "limit_option",
    "main_database_option",
    "output_option",
    "platform_option",
    "policy_option",
    "redact_option",
    "schema_option",
    "sealing_option",
    "time_option",
    "typed_zone_option",
    "utf8_id",
    "valid_id",
    "zone_option",
]

MAX_ROWS: Final = 2**31 - 1

_Command = TypeVar("_Command", bound=Callable[..., Any])


def utf8_id(value: str) -> str:
    """An id, decoded as UTF-8 whatever the locale."""
    try:
        return value if value.isprintable() else os.fsencode(value).decode()
    except UnicodeError:
        raise click.BadParameter("it is not UTF-8") from None


def valid_id(value: str) -> str:
    """An id that can be stored."""
    name = utf8_id(value)
    if not is_id(name):
        raise click.BadParameter(f"wanted {AN_ID}")
    return name


def _utc_time(value: str) -> datetime:
    """A time, converted to UTC; without a zone it is in that of ``--zone``."""
    zone = click.get_current_context().ensure_object(Shell).zone
    try:
        return read_time(value, zone, datetime.now(UTC))
    except ValueError:
        raise click.BadParameter(f"wanted {A_TIME}") from None


def length(value: str) -> timedelta:
    """A length of time."""
    try:
        return length_of(value)
    except InvalidArgument as error:
        raise click.BadParameter(f"wanted {error.wanted}") from None


def _policy_file(value: str) -> Policy:
    """The policy in a TOML file."""
    try:
        return Policy.from_toml(Path(value).read_text(encoding="utf-8"))
    except OSError as error:
        raise click.BadParameter(f"{value}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.BadParameter(f"{value}: it is not UTF-8") from None
    except InvalidArgument as error:
        raise click.BadParameter(f"{value}: {error}") from None


def policy_option(words: str) -> Callable[[_Command], _Command]:
    """The option that reads a policy, with what this command takes from it."""
    return click.option(
        "--policy",
        metavar="FILE",
        type=_policy_file,
        envvar="SERMO_POLICY",
        show_envvar=True,
        help=words,
    )


def _built_in_redaction(
    _: click.Context,
    param: click.Parameter,
    value: bool,  # noqa: FBT001 - as click calls it
) -> Callable[[str], str] | None:
    """What ``--redact`` takes out of texts."""
    if not value:
        return None
    from sermo_fsm.redaction import redactor

    try:
        return redactor()
    except InvalidArgument as error:
        raise click.BadParameter(f"it needs {error.wanted}", param=param) from None


redact_option = click.option(
    "--redact",
    is_flag=True,
    envvar="SERMO_REDACT",
    show_envvar=True,
    callback=_built_in_redaction,
    help="Take numbers of payment cards, personal numbers and e-mail addresses out of every text "
    "before it is stored.",
)


def format_for(
    path: Path | None,
    suffixes: Mapping[str, str],
    option: str | None,
    default: str,
) -> str:
    """The format to write.

    Args:
        path: The output file; None for standard output.
        suffixes: The format that each suffix stands for.
        option: What ``--format`` says.
        default: The format on standard output.

    Raises:
        click.UsageError: Neither the file nor the option says it, or they contradict each other.
    """
    if path is None:
        return option or default
    named = suffixes.get(path.suffix.lower())
    if option is None and named is None:
        formats = [
            f"{format_} ({', '.join(one for one in suffixes if suffixes[one] == format_)})"
            for format_ in dict.fromkeys(suffixes.values())
        ]
        wanted = f"{', '.join(formats[:-1])} or {formats[-1]}"
        what = f"the name {path} does not say which format to write: {wanted}"
        raise click.UsageError(f"{what}; use one of these endings, or --format")
    if option is not None and named not in (None, option):
        raise click.UsageError(f"the name {path} says {named}, but --format says {option}")
    return option or named or default


def _choose_sealing(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    ctx.ensure_object(Shell).sealing = value or None


sealing_option = click.option(
    "--sealing",
    metavar="MODULE:OBJECT",
    envvar="SERMO_SEALING",
    show_envvar=True,
    expose_value=False,
    callback=_choose_sealing,
    help="Where the functions are that seal and open what people wrote: an object in a Python "
    "module that has seal and open. Only before the command.",
)


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


def time_option(*names: str, help: str) -> Callable[[_Command], _Command]:  # noqa: A002 - as click
    """Add an option whose value is a time."""
    return click.option(*names, metavar="TIME", type=_utc_time, help=help)


def _choose_zone(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        try:
            ctx.ensure_object(Shell).zone = zone_named(value)
        except ValueError:
            wanted = "the name of a time zone that this machine knows"
            message = f"wanted {wanted}, such as Europe/Stockholm or UTC"
            raise click.BadParameter(message) from None


def _zone_option(help_: str) -> Callable[[_Command], _Command]:
    return click.option(
        "--zone",
        metavar="NAME",
        is_eager=True,  # it is known before a TIME is read, whatever comes first
        expose_value=False,
        callback=_choose_zone,
        help=f"{help_}, such as Europe/Stockholm; by default the system's.",
    )


zone_option = _zone_option("Time zone of what you read (JSON is in UTC) and type")
typed_zone_option = _zone_option("Time zone of a TIME that names none")
csv_option = click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for spreadsheets.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
json_or_bodies_option = click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Print JSON. What people wrote is null in it without --bodies.",
)
output_option = click.option(
    "-o",
    "--output",
    "path",
    metavar="FILE",
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Write to FILE instead of standard output.",
)
bodies_option = click.option(
    "--bodies",
    is_flag=True,
    help="Include what people wrote, and agents' names.",
)
by_option = click.option(
    "--by", metavar="NAME", type=valid_id, help="Who asks for it; kept in the database."
)
platform_option = click.option(
    "--platform",
    metavar="ID",
    type=valid_id,
    envvar="SERMO_PLATFORM",
    show_envvar=True,
    help="Platform of events that have no platformId, in themselves or in what they came in.",
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
