"""What people wrote as the host's key service seals it, and how what is sealed is told from clear.

A sealed text is ``sealed:`` and base64. No event begins like that, for it is a JSON object, and an
excerpt that does gets a space in front. A picture is sealed once for each message: a digest of its
content would tell whoever has the picture that it is here. So its key is random, and says that it
is sealed.
"""

import base64
import secrets
from collections.abc import Callable, Iterable
from inspect import iscoroutinefunction
from typing import Any, Final, Self, TypeVar

from attrs import frozen

from sermo_fsm.errors import InvalidArgument, SealingFailed

__all__ = ["MARK", "Sealing", "is_sealed_picture", "opened_picture", "opened_text"]

MARK: Final = "sealed:"
"""What a sealed text begins with."""
_PICTURE: Final = "sealed-"

_Row = tuple[Any, ...]
_Hook = TypeVar("_Hook", bound=Callable[[bytes], object])


@frozen
class Sealing:
    """The two functions of the host.

    Attributes:
        seal: Takes what somebody wrote as bytes, and returns what the database may hold of it.
        open: Takes that, and returns the former; None if its key was destroyed, so that it is as if
            it were erased.
    """

    seal: Callable[[bytes], bytes]
    open: Callable[[bytes], bytes | None]

    @classmethod
    def of(
        cls,
        seal: Callable[[bytes], bytes] | None,
        open_: Callable[[bytes], bytes | None] | None,
    ) -> Self | None:
        """The sealing that an engine is asked for.

        Raises:
            InvalidArgument: One of the two is missing, or is no plain function.
        """
        if seal is None and open_ is None:
            return None
        return cls(_checked("seal", seal), _checked("open", open_))

    def sealed(
        self, pictures: Iterable[_Row], bodies: Iterable[tuple[int, _Row]]
    ) -> tuple[list[_Row], list[tuple[int, _Row]]]:
        """Pictures, and bodies with their places, as they are written.

        Raises:
            SealingFailed: ``seal`` has failed.
        """
        by_digest = {row[0]: row for row in pictures}
        sealed_pictures, sealed_bodies = [], []
        for place, (event, raw, sha256) in bodies:
            key = None
            if sha256 is not None:
                key = _PICTURE + secrets.token_hex(16)
                _, media_type, _, content = by_digest[sha256]
                sealed = self._seal(content)
                sealed_pictures.append((key, media_type, len(sealed), sealed))
            sealed_bodies.append((place, (self.text(event), self.text(raw), key)))
        sealed_pictures.sort(key=lambda row: str(row[0]))
        return sealed_pictures, sealed_bodies

    def text(self, text: str | None) -> str | None:
        """A text of a body as it is written.

        Raises:
            SealingFailed: ``seal`` has failed.
        """
        if text is None:
            return None
        return MARK + base64.b64encode(self._seal(text.encode())).decode()

    def _seal(self, clear: bytes) -> bytes:
        sealed = _called("seal", self.seal, clear)
        if sealed is None:
            raise SealingFailed("seal", "returned None, not bytes")
        return sealed


def _checked(name: str, hook: _Hook | None) -> _Hook:
    given: object = hook
    if hook is None or not callable(given) or iscoroutinefunction(given):
        wanted = "a plain function, bytes -> bytes; seal and open belong together"
        raise InvalidArgument(name, wanted=wanted, got=given)
    return hook


def _called(name: str, hook: Callable[[bytes], object], given: bytes) -> bytes | None:
    failure = None
    result: object = None
    try:
        result = hook(given)
    except Exception as error:  # noqa: BLE001 - whatever the host's function may raise
        failure = f"raised {type(error).__name__}"
    if failure is None and (result is None or isinstance(result, bytes)):
        return result
    # Outside of the except clause: the error in it may quote what was to be sealed.
    raise SealingFailed(name, failure or f"returned {type(result).__name__}, not bytes")


def opened_text(stored: str, sealing: Sealing | None) -> str | None:
    """A text of the database in clear; None if it is sealed and there is no key any more.

    Raises:
        SealingFailed: ``open`` has failed, or what is stored is damaged.
    """
    if not stored.startswith(MARK):
        return stored
    if sealing is None:
        return None
    failed = False
    clear: bytes | None = None
    try:
        sealed = base64.b64decode(stored.removeprefix(MARK), validate=True)
        clear = _called("open", sealing.open, sealed)
        text = None if clear is None else clear.decode()
    except ValueError:  # neither base64, nor UTF-8 what was opened
        failed = True
        text = None
    if failed:
        raise SealingFailed("open", "was given what was never sealed so, or returned no UTF-8")
    return text


def is_sealed_picture(key: str) -> bool:
    """Whether the picture with this key in the table is sealed."""
    return key.startswith(_PICTURE)


def opened_picture(key: str, content: bytes, sealing: Sealing | None) -> bytes | None:
    """A picture of the database in clear; None if it is sealed and there is no key any more.

    Raises:
        SealingFailed: ``open`` has failed.
    """
    if not is_sealed_picture(key):
        return content
    return None if sealing is None else _called("open", sealing.open, bytes(content))
