"""``sermo-fsm board``: a board to look at in a browser."""

import asyncio
import ipaddress
import logging
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from sermo_fsm.cli.options import database_option, zone_option
from sermo_fsm.cli.shell import Shell
from sermo_fsm.errors import InvalidArgument

if TYPE_CHECKING:
    import socket

__all__ = ["board"]

_LOCAL: Final = "127.0.0.1"
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    epilog="""
    \b
    Examples
      sermo-fsm board
      sermo-fsm board --zone Europe/Stockholm --target 120
      sermo-fsm board --host 0.0.0.0 --allow-host board.example --token-file token --behind-proxy

    It only reads, and only while somebody looks. By itself it answers this machine alone. On
    another address it asks for the token in a file, and needs TLS: its own, or that of a proxy in
    front of it. A browser asks for the token as a password; the user name does not matter.

    Needs an extra: pip install 'sermo-fsm[board]'.
    """
)
@click.option(
    "--host", metavar="ADDRESS", default=_LOCAL, show_default=True, help="Where it listens."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8765,
    show_default=True,
    help="On which port; 0 for any that is free.",
)
@click.option(
    "--allow-host",
    "allowed",
    metavar="NAME",
    multiple=True,
    help="Answer requests for this name, too. May be repeated.",
)
@click.option("--token-file", type=_FILE, help="File with the token that viewers must know.")
@click.option("--tls-cert", type=_FILE, help="Certificate of the server, with its chain (PEM).")
@click.option("--tls-key", type=_FILE, help="Private key of the certificate (PEM).")
@click.option("--behind-proxy", is_flag=True, help="A proxy in front of it does TLS.")
@click.option(
    "--every",
    metavar="SECONDS",
    type=click.FloatRange(0, 3600, min_open=True),
    default=1.0,
    show_default=True,
    help="How often to look at the database, while somebody watches.",
)
@click.option(
    "--target",
    metavar="SECONDS",
    type=click.IntRange(0, 10**6),
    default=60,
    show_default=True,
    help="How long a customer may wait.",
)
@click.option("--bodies", is_flag=True, help="Show what people wrote, and agents' names.")
@click.option("--ids", is_flag=True, help="Show users' ids whole.")
@zone_option
@database_option
@click.pass_obj
def board(shell: Shell, /, *, host: str, port: int, **options: Any) -> None:
    """Show who waits, and what becomes of chats, in a browser."""
    try:
        from sermo_fsm.board import service
    except ImportError as error:
        raise click.UsageError(str(error)) from error
    tls = _tls(options.pop("tls_cert"), options.pop("tls_key"))
    access = _access(host, tls=tls, **{name: options.pop(name) for name in _ACCESS})
    from sermo_fsm.worker.logs import logging_to

    options["target"] = timedelta(seconds=options["target"])
    with ExitStack() as stack:
        listening = stack.enter_context(service.listen(host, port))
        for name in ("sermo_fsm.board", "uvicorn.error"):
            stack.enter_context(
                logging_to(sys.stderr, as_json=False, of=name, level=logging.WARNING)
            )
        asyncio.run(_serve(shell, listening, tls, {**access, **options, "zone": shell.zone}))


_ACCESS: Final = ("allowed", "token_file", "behind_proxy")


def _tls(cert: Path | None, key: Path | None) -> tuple[Path, Path] | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key belong together")
    return cert, key


def _access(
    host: str,
    *,
    tls: tuple[Path, Path] | None,
    allowed: Sequence[str],
    token_file: Path | None,
    behind_proxy: bool,
) -> dict[str, Any]:
    """Who may ask, and by which names: more is asked for where others can reach it."""
    from sermo_fsm.board.settings import LOOPBACK

    address = _address(host)
    is_local = host == "localhost" or (address is not None and address.is_loopback)
    if tls is not None and behind_proxy:
        raise click.UsageError("--behind-proxy says that a proxy does TLS: give no --tls-cert")
    if not is_local:
        if token_file is None:
            raise click.UsageError(
                f"others can reach {host}: give --token-file, with a token that viewers must know"
            )
        if tls is None and not behind_proxy:
            raise click.UsageError(
                f"others can read along on the way to {host}: give --tls-cert and --tls-key, or "
                "--behind-proxy if a proxy in front of the board does TLS"
            )
        if address is not None and address.is_unspecified and not allowed:
            raise click.UsageError(
                f"nobody asks for {host}: say by --allow-host by which name browsers do"
            )
    return {
        "hosts": (*LOOPBACK, host, *allowed),
        "token": None if token_file is None else _token(token_file),
    }


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _token(file: Path) -> str:
    """The token in a file, without what stands around it."""
    from sermo_fsm.board.settings import Settings

    try:
        token = file.read_text(encoding="utf-8").strip()
        Settings(token=token)
    except (UnicodeDecodeError, InvalidArgument) as error:
        wanted = getattr(error, "wanted", "text")
        raise click.BadParameter(f"{file}: wanted {wanted}", param_hint="--token-file") from None
    return token


async def _serve(
    shell: Shell,
    listening: "socket.socket",
    tls: tuple[Path, Path] | None,
    options: dict[str, Any],
) -> None:
    from sermo_fsm.board import app, service
    from sermo_fsm.engine.aio import AsyncChatEngine
    from sermo_fsm.storage.database_url import for_asyncio
    from sermo_fsm.storage.transactions import open_to_read_async

    database = open_to_read_async(for_asyncio(shell.database))
    try:
        # One try: the board looks again soon, and says meanwhile that it knows nothing new.
        engine = AsyncChatEngine(database, schema=shell.schema, attempts=1, **shell.hooks())
        await engine.check_schema()
        scheme = "http" if tls is None else "https"

        def ready() -> None:
            name, port = listening.getsockname()[:2]
            shown = f"[{name}]" if ":" in name else name
            shell.printer.print_line(f"board at {scheme}://{shown}:{port}/")
            sys.stdout.flush()

        await service.serve(app(engine, **options), listening, ready, tls=tls)
    finally:
        await database.dispose()
