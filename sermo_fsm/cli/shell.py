"""What all commands share: the database, the output, exit statuses, and error messages.

A command neither exits nor catches errors of the database. It leaves its exit status in its
:class:`Shell`, and :class:`Program` turns an error into one line on standard error and a status.

The engine is imported when a command opens the database, so that ``--help`` does not load it.
"""

import logging
import os
import shlex
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from importlib import import_module
from importlib.util import find_spec
from itertools import chain, islice
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TextIO, TypeVar, cast

import click
from attrs import define, field

from sermo_fsm._startup import INTERRUPTED, end_startup
from sermo_fsm.cli.csv_output import print_csv
from sermo_fsm.cli.json_output import print_json, print_json_array
from sermo_fsm.cli.printer import Printer
from sermo_fsm.cli.streams import discard_output, use_utf8
from sermo_fsm.cli.text import Styled, escape_controls
from sermo_fsm.errors import (
    InvalidArgument,
    LostRace,
    SchemaNotReady,
    StoreBusy,
    StoreError,
    UnusableDatabase,
)

if TYPE_CHECKING:
    from datetime import tzinfo

    import sqlalchemy as sa

    from sermo_fsm.core.policy import Policy
    from sermo_fsm.engine import ChatEngine

__all__ = [
    "DEFAULT_DATABASE",
    "FAILED",
    "INTERRUPTED",
    "NOT_FOUND",
    "REFUSED",
    "USAGE",
    "Failure",
    "Program",
    "Shell",
    "printer_for",
]

FAILED: Final = 1
"""An input line was not accepted, or a check failed."""
USAGE: Final = 2
"""Wrong usage, or a file that can't be read or written."""
REFUSED: Final = 3
"""The database reported an error; nothing of the failed transaction was written."""
NOT_FOUND: Final = 4
"""There is no such user or session."""

DEFAULT_DATABASE: Final = "sqlite:///sermo.db"

_OPTIONS: Final = {
    "opened_from": "--from",
    "opened_before": "--before",
    "since": "--since",
    "until": "--until",
    "up_to": "--up-to",
    "seal": "--sealing",
    "open": "--sealing",
}
"""The options by which comes what only the library can refuse."""

# What drivers raise for options behind the "?" of a URL that they can't use.
_DRIVER_OPTION_ERRORS: Final = (
    *(TypeError, ValueError, OverflowError, AttributeError, LookupError, OSError),
)

_T = TypeVar("_T")


class Failure(click.ClickException):
    """One line on standard error, and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(escape_controls(message))
        self.exit_code = status  # type: ignore[misc]  # as click does, which types it as a ClassVar


def printer_for(
    stream: TextIO, now: datetime | None = None, zone: "tzinfo | None" = None
) -> Printer:
    """A printer for people, depending on whether *stream* is a terminal.

    Args:
        now: The time that other times are shown relative to; by default the clock's.
        zone: The time zone that times are shown in; by default the system's.
    """
    kind = Printer
    if stream.isatty():
        from sermo_fsm.cli.terminal import TerminalPrinter

        kind = TerminalPrinter
    return kind(stream, now or datetime.now(UTC), zone)


@define
class Shell:
    """The state of one run of a command.

    Attributes:
        database: The URL of the database.
        url_typed: Whether the URL was given on the command line, not by the environment.
        url_option: The name of the option that gives the URL.
        schema: The schema of the tables, on PostgreSQL.
        schema_typed: Whether the schema was given on the command line.
        sealing: Where the key service is, as ``MODULE:OBJECT``; None if nothing is sealed.
        zone: The time zone of times that people read or type; None for the system's.
        status: The exit status, if no error ends the command.
        so_far: Says in a sentence what is done, to complete an error message.
    """

    database: str = DEFAULT_DATABASE
    url_typed: bool = False
    url_option: str = "db"
    schema: str | None = None
    schema_typed: bool = False
    sealing: str | None = None
    zone: "tzinfo | None" = None
    status: int = 0
    so_far: Callable[[], str] = field(default=lambda: "")

    @property
    def printer(self) -> Printer:
        """Prints for people to standard output."""
        return printer_for(sys.stdout, zone=self.zone)

    @contextmanager
    def engine(
        self,
        policy: "Policy | None" = None,
        prepare: "Callable[[ChatEngine], object] | None" = None,
        connect: "Callable[[str], sa.Engine] | None" = None,
        redact: "Callable[[str], str] | None" = None,
    ) -> Iterator["ChatEngine"]:
        """Open the database, and close it at the end of the block.

        Args:
            prepare: Checks or changes the schema; by default :meth:`ChatEngine.prepare`.
            connect: Makes the SQLAlchemy engine; by default it can write.
            redact: What may be kept of a text; by default all of it.

        Raises:
            click.BadParameter: The URL, its options or the schema can't be used.
            StoreError: The database refused, or its schema is not that of this release.
        """
        from sermo_fsm.engine import ChatEngine
        from sermo_fsm.storage.transactions import open_engine

        with ExitStack() as stack:
            try:
                database = (connect or open_engine)(self.database)
                stack.callback(database.dispose)
                engine = ChatEngine(
                    database, policy=policy, schema=self.schema, redact=redact, **self.hooks()
                )
            except InvalidArgument as error:
                names = {"schema": "schema", "seal": "sealing", "open": "sealing"}
                option = names.get(error.argument, self.url_option)
                raise _bad_option(option, f"wanted {error.wanted}, got {error.got}") from None
            try:
                (prepare or ChatEngine.prepare)(engine)
            except StoreError as error:
                cause = error.__cause__
                if not isinstance(cause, _DRIVER_OPTION_ERRORS) or not self._url().query:
                    raise
                what = getattr(cause, "strerror", None) or "it does not understand them"
                message = f"the driver can't use the URL's options: {what}"
                raise _bad_option(self.url_option, message) from None
            yield engine

    def hooks(self) -> dict[str, Any]:
        """The functions by which an engine seals and opens what people wrote.

        Raises:
            click.BadParameter: There are none where ``--sealing`` says.
        """
        if self.sealing is None:
            return {}
        module, _, name = self.sealing.partition(":")
        here = os.getcwd()  # noqa: PTH109 - as sys.path has it
        sys.path.insert(0, here)
        try:
            found = attrgetter("seal", "open")(attrgetter(name)(import_module(module)))
        except (ImportError, AttributeError, ValueError, TypeError) as error:
            wanted = "MODULE:OBJECT, an object that has seal and open"
            message = f"wanted {wanted}, got {self.sealing!r} ({type(error).__name__})"
            raise _bad_option("sealing", message) from None
        finally:
            sys.path.remove(here)
        return dict(zip(("seal", "open"), found, strict=True))

    def print_list(
        self,
        items: Iterator[_T],
        columns: Sequence[str],
        view: Callable[[_T], Mapping[str, Any]],
        print_rows: Callable[[Iterator[_T]], None],
        *,
        as_json: bool,
        as_csv: bool,
    ) -> None:
        """Print *items* as they arrive from the database.

        Args:
            items: A generator; it is closed, for the database is closed next.
            columns: The names in JSON that CSV has columns for.
            view: An item as JSON.
            print_rows: Prints the items for people.
        """
        if as_json and as_csv:
            raise click.UsageError("--json and --csv exclude each other")
        with closing(cast("Generator[_T, None, None]", items)):
            # A query that fails does so before anything is printed.
            every = chain([*islice(items, 1)], items)
            if as_json:
                print_json_array(map(view, every))
            elif as_csv:
                print_csv(columns, ([view(item)[name] for name in columns] for item in every))
            else:
                print_rows(every)

    def report_not_found(self, message: str, *, as_json: bool) -> None:
        """Say that there is no such user or session, and set the exit status."""
        self.status = NOT_FOUND
        if as_json:
            print_json(None)
        Failure(message, NOT_FOUND).show()

    def warn_of_copies(self, overwritten: bool | None) -> None:  # noqa: FBT001 - as it is found
        """Say on standard error that copies of what was erased are left, where they are."""
        if overwritten is False:
            what = "copies may be left in the write-ahead log, because another program reads the"
            click.echo(f"{what} file: run this again when it is done", err=True)

    def verdict(self, *, ok: bool) -> Styled:
        """The result of a check in a word; if it failed, also set the exit status."""
        if ok:
            return Styled("ok", "green")
        self.status = FAILED
        return Styled("FAILED", "bold red")

    def store_failure(self, error: StoreError) -> Failure:
        """What the database reported, and what to do about it."""
        what = str(error)
        if isinstance(error, SchemaNotReady):
            from sermo_fsm.migrate import NEWER

            if error.remedy != NEWER:
                what = what.replace(error.remedy, f"run: {self._upgrade_command()}")
        elif isinstance(error, StoreBusy | LostRace):
            what += "; try again when the other program is done"
        elif isinstance(error, UnusableDatabase) or "can't be reached" in what:
            source = "--db and SERMO_DB" if self.url_option == "db" else f"--{self.url_option}"
            what += f"; is {self._database_name()} the right database? See {source}"
        return Failure(f"{what}{self._so_far()}", REFUSED)

    def interrupt_failure(self) -> Failure:
        """The user pressed Ctrl-C."""
        return Failure(f"interrupted{self._so_far()}", INTERRUPTED)

    def file_failure(self, error: OSError) -> Failure:
        """A file can't be read or written."""
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}{self._so_far()}", USAGE)

    def _so_far(self) -> str:
        sentence = self.so_far()
        return f". {sentence}" if sentence else ""

    def _upgrade_command(self) -> str:
        command = "sermo-fsm db upgrade"
        if self.schema_typed and self.schema:
            command += f" --schema {shlex.quote(self.schema)}"
        if not self.url_typed:
            return command
        url = self._url()
        if url.password is None and not url.query:  # the options may hold secrets too
            return f"{command} --db {shlex.quote(self.database)}"
        same = "(with the same --db)" if self.url_option == "db" else "--db (that URL)"
        return f"{command} {same}"

    def _database_name(self) -> str:
        from sermo_fsm.storage.backends import backend_named

        url = self._url()
        return backend_named(url.get_backend_name()).database_name(url) or "it"

    def _url(self) -> "sa.URL":
        import sqlalchemy as sa

        return sa.make_url(self.database)


def _bad_option(option: str, message: str) -> click.BadParameter:
    variable = f" / SERMO_{option.upper()}" if option in ("db", "schema", "sealing") else ""
    return click.BadParameter(message, param_hint=f"'--{option}'{variable}")


@contextmanager
def _silence_logging() -> Iterator[None]:
    """Keep log messages out of the output; the command's end reports errors once.

    stamina logs each retry through structlog, if that is installed, which prints to standard
    output.
    """
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    with ExitStack() as stack:
        stack.callback(root.removeHandler, handler)
        if find_spec("structlog") is not None:
            from stamina import instrumentation

            hooks = instrumentation.get_on_retry_hooks()
            stack.callback(instrumentation.set_on_retry_hooks, hooks)
            instrumentation.set_on_retry_hooks(())
        yield


@contextmanager
def _escape_messages() -> Iterator[None]:
    """Escape what errors quote: a path or an argument may hold what controls a terminal."""
    try:
        yield
    except click.ClickException as error:
        vars(error)["message"] = escape_controls(error.message)  # which click's types call final
        raise


class Program(click.Command):
    """A command that is run as a process: it writes UTF-8, and maps errors to exit statuses."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command and exit."""
        use_utf8()
        try:
            return super().main(*args, **options)
        except OSError as error:  # of --help and --version, which print before a command runs
            discard_output(sys.stdout)
            failure = Shell().file_failure(error)
            failure.show()
            sys.exit(failure.exit_code)

    def make_context(self, *args: Any, **options: Any) -> click.Context:
        """Read the arguments before the command."""
        with _escape_messages():
            return super().make_context(*args, **options)

    @_escape_messages()
    def invoke(self, ctx: click.Context) -> None:
        """Run the command, and turn what it raises into a message and an exit status."""
        shell = ctx.ensure_object(Shell)
        try:
            end_startup()
            with _silence_logging():
                super().invoke(ctx)
                sys.stdout.flush()
        except BrokenPipeError:  # the reader closed the pipe, as `head` does
            discard_output(sys.stdout)
        except KeyboardInterrupt:
            raise shell.interrupt_failure() from None
        except StoreError as error:
            raise shell.store_failure(error) from error
        except InvalidArgument as error:
            option = _OPTIONS.get(error.argument, error.argument)
            raise click.UsageError(str(InvalidArgument(option, error.wanted, error.got))) from error
        except OSError as error:
            discard_output(sys.stdout)
            raise shell.file_failure(error) from error
        ctx.exit(shell.status)
