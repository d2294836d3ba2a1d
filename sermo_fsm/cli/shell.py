"""What the commands share: the database, JSON on standard output, and how they end.

A command neither exits nor catches what the database says. It leaves its exit status in its
:class:`Shell`; :class:`Commands` turns whatever went wrong into one line and a status.
"""

import io
import json
import logging
import os
import re
import shlex
import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import chain, islice
from pathlib import Path
from typing import IO, Any, Final, TypeVar, cast

import click
import sqlalchemy as sa
from attrs import define, field
from rich.text import Text
from stamina.instrumentation import get_on_retry_hooks, set_on_retry_hooks

from sermo_fsm.cli.terminal import Page, clean
from sermo_fsm.core.policy import Policy
from sermo_fsm.engine import ChatEngine
from sermo_fsm.errors import InvalidArgument, LostRace, SchemaNotReady, StoreBusy, StoreError
from sermo_fsm.migrate import NEWER
from sermo_fsm.storage.backends import backend_named
from sermo_fsm.storage.transactions import open_engine

__all__ = [
    "DEFAULT_DATABASE",
    "FAILED",
    "INTERRUPTED",
    "NOBODY",
    "REFUSED",
    "USAGE",
    "Commands",
    "Failure",
    "Program",
    "Shell",
    "print_json",
]

FAILED: Final = 1
"""A line was not taken, or what was to be checked does not hold."""
USAGE: Final = 2
REFUSED: Final = 3
"""The database refused; nothing of what was asked for is in."""
NOBODY: Final = 4
"""There is no such user or session."""
INTERRUPTED: Final = 130

DEFAULT_DATABASE: Final = "sqlite:///sermo.db"

# Where it may be that another database was meant.
_NOT_THIS_ONE: Final = ("is not a database", "can't be reached")

# Of the driver, about what follows "?": each has its own way.
_OF_OPTIONS: Final = (TypeError, ValueError, OverflowError, AttributeError, LookupError, OSError)

_T = TypeVar("_T")


class Failure(click.ClickException):
    """One line on standard error, and an exit status."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(clean(message))
        self.exit_code = status  # type: ignore[misc]  # click's own way, typed as of the class

    def show(self, file: IO[Any] | None = None) -> None:
        """Print it; where nobody listens the status still says it."""
        with suppress(OSError):
            super().show(file)


@define
class Shell:
    """What one run of the command knows."""

    database: str = DEFAULT_DATABASE
    typed: bool = False
    """The database was named on the command line, so a line to run has to name it too."""
    option: str = "db"
    """By which option."""
    schema: str | None = None
    schema_typed: bool = False
    """Likewise."""
    status: int = 0
    so_far: Callable[[], str] = field(default=lambda: "")
    """A sentence on what is done, for the case that it goes no further."""

    @property
    def page(self) -> Page:
        """Where to print for people."""
        return Page(sys.stdout)

    @contextmanager
    def engine(
        self,
        policy: Policy | None = None,
        prepare: Callable[[ChatEngine], object] = ChatEngine.prepare,
        connect: Callable[[str], sa.Engine] = open_engine,
    ) -> Iterator[ChatEngine]:
        """The database, with a schema that this release can work with."""
        with ExitStack() as stack:
            try:
                database = connect(self.database)
                stack.callback(database.dispose)
                engine = ChatEngine(database, policy=policy, schema=self.schema)
            except InvalidArgument as error:
                of = "schema" if error.argument == "schema" else self.option
                raise _bad(of, f"wanted {error.wanted}, got {error.got}") from None
            try:
                prepare(engine)
            except _OF_OPTIONS as error:
                if not sa.make_url(self.database).query:
                    raise
                what = getattr(error, "strerror", None) or "it does not understand them"
                raise _bad(self.option, f"the driver can't use its options: {what}") from None
            yield engine

    def list_all(
        self,
        items: Iterator[_T],
        view: Callable[[_T], Mapping[str, Any]],
        show: Callable[[Iterator[_T]], None],
        *,
        as_json: bool,
    ) -> None:
        """Print them as they come from the database, for programs or for people."""
        # Closed also where printing fails: the database is closed next.
        with closing(cast("Generator[_T, None, None]", items)):
            # What can't be asked, or answered, is known before the first line is printed.
            every = chain([*islice(items, 1)], items)
            if as_json:
                print_json_items(map(view, every))
            else:
                show(every)

    def found_nobody(self, message: str, *, as_json: bool) -> None:
        """There is no such user or session."""
        self.status = NOBODY
        if as_json:
            print_json(None)
        Failure(message, NOBODY).show()

    def verdict(self, *, ok: bool) -> Text:
        """How a check went, as a word; one that fails is the end of the command, too."""
        if ok:
            return Text("ok", "green")
        self.status = FAILED
        return Text("FAILED", "bold red")

    def refusal(self, error: StoreError) -> Failure:
        """What the database said, and what to do about it."""
        what = str(error)
        if isinstance(error, SchemaNotReady):
            if error.remedy != NEWER:
                what = what.replace(error.remedy, f"run: {self._upgrade_line()}")
        elif isinstance(error, StoreBusy | LostRace):
            what += "; try again when the other program is done"
        elif any(word in what for word in _NOT_THIS_ONE):
            what += f"; is {self._shown()} the right database? See {self._by()}"
        return Failure(f"{what}{self._so_far()}", REFUSED)

    def interruption(self) -> Failure:
        """Somebody pressed Ctrl-C."""
        return Failure(f"interrupted{self._so_far()}", INTERRUPTED)

    def trouble(self, error: OSError) -> Failure:
        """A file that can't be read or written."""
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return Failure(f"{where}{error.strerror or error}{self._so_far()}", USAGE)

    def _so_far(self) -> str:
        sentence = self.so_far()
        return f". {sentence}" if sentence else ""

    def _upgrade_line(self) -> str:
        line = "sermo-fsm db upgrade"
        if self.schema_typed and self.schema:
            line += f" --schema {shlex.quote(self.schema)}"
        if not self.typed:
            return line
        url = sa.make_url(self.database)
        if url.password is None and not url.query:  # nothing in it that could be a secret
            return f"{line} --db {shlex.quote(self.database)}"
        return f"{line} (with the same --db)" if self.option == "db" else f"{line} --db (that URL)"

    def _by(self) -> str:
        return "--db and SERMO_DB" if self.option == "db" else f"--{self.option}"

    def _shown(self) -> str:
        url = sa.make_url(self.database)
        return backend_named(url.get_backend_name()).database_name(url) or "it"


def _bad(option: str, message: str) -> click.BadParameter:
    variable = f" / SERMO_{option.upper()}" if option in ("db", "schema") else ""
    hint = f"'--{option}'{variable}"
    return click.BadParameter(clean(message), param_hint=hint)


@contextmanager
def _no_logs() -> Iterator[None]:
    """Nobody has said where logs are to go: so they do not go among what a command prints.

    What the database does when a transaction is tried again, or a connection is lost, is said once,
    by how the command ends.
    """
    root, nowhere, hooks = logging.getLogger(), logging.NullHandler(), get_on_retry_hooks()
    root.addHandler(nowhere)
    set_on_retry_hooks(())
    try:
        yield
    finally:
        set_on_retry_hooks(hooks)
        root.removeHandler(nowhere)


class Program(click.Command):
    """A command that a process is started for: speaks UTF-8, and ends as the design says."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run, and exit."""
        _speak_utf8()
        return super().main(*args, **options)

    def invoke(self, ctx: click.Context) -> None:
        """Run the command that was asked for."""
        shell = ctx.ensure_object(Shell)
        try:
            with _no_logs():
                super().invoke(ctx)
                sys.stdout.flush()
        except BrokenPipeError:  # whoever reads has seen enough
            _let_go_of_stdout()
        except KeyboardInterrupt:
            raise shell.interruption() from None
        except StoreError as error:
            raise shell.refusal(error) from error
        except InvalidArgument as error:
            raise click.UsageError(clean(str(error)), ctx) from error
        except OSError as error:
            _let_go_of_stdout()
            raise shell.trouble(error) from error
        ctx.exit(shell.status)


class Commands(Program, click.Group):
    """The whole command line."""


def _speak_utf8() -> None:
    """Whatever the locale: what customers write is not of this machine."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by who called: nobody wants to read it
            stream = Path(os.devnull).open("w")  # noqa: SIM115 - as long as the process lives
            setattr(sys, name, stream)
        if isinstance(stream, io.TextIOWrapper):
            # A lone surrogate becomes the escape that it came as, which is valid JSON.
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")


def _let_go_of_stdout() -> None:
    """Else Python would try once more at its exit, and say so."""
    with suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


# JSON allows these as they are; a terminal, or what splits lines, may not.
_UNSAFE: Final = re.compile(r"[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def _json(value: object, indent: int | None = None) -> str:
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def print_json(value: Mapping[str, Any] | None) -> None:
    """One object, or ``null``."""
    sys.stdout.write(_json(value, indent=2) + "\n")


def print_json_items(items: Iterable[Mapping[str, Any]]) -> None:
    """An array, an item a line, as they come: however many there are, one is kept."""
    before = "[\n  "
    for item in items:
        sys.stdout.write(before + _json(item))
        before = ",\n  "
    sys.stdout.write("[]\n" if before.startswith("[") else "\n]\n")
