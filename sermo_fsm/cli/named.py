"""Which chat a command is about: the last one of a user, or the one with this id."""

from collections.abc import Callable
from typing import Any, TypeVar

import click
from attrs import frozen

from sermo_fsm.cli.options import a_name
from sermo_fsm.core.session import ChatSession
from sermo_fsm.engine import ChatEngine

__all__ = ["NamedChat", "chat_options"]

_Command = TypeVar("_Command", bound=Callable[..., Any])


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
