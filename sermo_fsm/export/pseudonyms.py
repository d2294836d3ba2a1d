"""Names that stand for people and chats where neither may be known.

A user's id is personal, and a session's id can be computed from it, so it is no better. Both are
replaced by a keyed digest: whoever has the key can find out who is meant, nobody else.
"""

import hmac
import secrets
from typing import Final
from uuid import UUID

from attrs import field, frozen
from msgspec.structs import replace

from sermo_fsm.core.session import ChatSession

__all__ = ["KEY_BYTES", "Pseudonyms"]

KEY_BYTES: Final = 32
"""A key has at least so many."""


@frozen
class Pseudonyms:
    """The pseudonyms under one key: of the same person always the same.

    Attributes:
        key: At least :data:`KEY_BYTES` bytes. Left out, one that nobody knows and that is
            forgotten: then they are random ids, the same within this value only.
    """

    key: bytes = field(factory=lambda: secrets.token_bytes(KEY_BYTES), repr=False)

    def of(self, session: ChatSession) -> ChatSession:
        """The same session under pseudonyms; its platform stays."""
        return replace(
            session,
            user_id=self._name("user", session.platform_id, session.user_id),
            session_id=self._name("session", session.session_id),
            previous_session_id=session.previous_session_id
            and self._name("session", session.previous_session_id),
        )

    def _name(self, *of: str) -> str:
        digest = hmac.digest(self.key, "\0".join(of).encode(), "sha256")  # no id has a NUL
        return str(UUID(bytes=digest[:16]))
