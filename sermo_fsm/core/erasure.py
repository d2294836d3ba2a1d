"""What was erased, and what must not be: receipts without a word about whom."""

from datetime import datetime
from typing import Any, Final

from attrs import field, fields, frozen

from sermo_fsm.core.json_form import json_form

__all__ = ["Amount", "Erasure", "Hold", "Retained"]


@frozen(kw_only=True)
class Amount:
    """How much was erased.

    Attributes:
        persons: Users whose id is now a random one.
        sessions: Their sessions, or those whose bodies were erased.
        rows: The rows of the history of these persons; they stay, as facts.
        bodies: What people wrote, row by row: events, and the texts of invalid ones.
        pictures: Pictures that nobody refers to any more.
        strays: Rows without a session that have lost user, reason and text.
    """

    persons: int = 0
    sessions: int = 0
    rows: int = 0
    bodies: int = 0
    pictures: int = 0
    strays: int = 0

    def __add__(self, other: "Amount") -> "Amount":
        names = (one.name for one in fields(Amount))
        return Amount(**{name: getattr(self, name) + getattr(other, name) for name in names})


@frozen(kw_only=True)
class Erasure(Amount):
    """The receipt of erasing one person, with the counts of an amount.

    The table ``sermo_erasure`` keeps the same.

    Attributes:
        id: The key of its row in ``sermo_erasure``; None if nothing was written.
        erased_at: When it was erased.
        platform_id: The platform of the user.
        user_id: The random id that now stands in place of the user's; None if nothing was written.
        reason: Why, as the caller's code; None if none was given.
        by: Who erased, by the name that the caller gave; None if none was given.
        closed: Whether a live chat was closed first.
        overwritten: Whether no copy is left in SQLite's write-ahead log; False while somebody else
            reads the file, until the next erasing. None on the other databases, in the host's
            transaction, and if nothing was written.
    """

    id: int | None = None
    erased_at: datetime
    platform_id: str
    user_id: str | None = None
    reason: str | None = None
    by: str | None = None
    closed: bool = False
    overwritten: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """The receipt as ``sermo-fsm erase --json`` prints it, ready for ``json.dumps``."""
        return json_form(self, _ERASURE_IN_JSON)


@frozen(kw_only=True)
class Retained(Amount):
    """What was older than it is to be kept, and is gone, with the counts of an amount.

    Attributes:
        held: Persons who were passed over because they are held back.
        overwritten: Whether no copy is left in SQLite's write-ahead log, as for one person.
    """

    held: int = 0
    overwritten: bool | None = None

    def as_dict(self) -> dict[str, Any]:
        """The counts as ``sermo-fsm retain --json`` prints them, ready for ``json.dumps``."""
        return json_form(self, _RETAINED_IN_JSON)


_COUNTED: Final = ("sessions", "rows", "bodies", "pictures", "strays")
_ERASURE_IN_JSON: Final = (
    *("id", "erased_at", "platform_id", "user_id", "reason", "by", "closed"),
    *_COUNTED,
    "overwritten",
)
_RETAINED_IN_JSON: Final = ("persons", *_COUNTED, "held", "overwritten")


@frozen(kw_only=True)
class Hold:
    """A person who must be neither erased nor aged out.

    Attributes:
        platform_id: The platform of the user.
        user_id: The id of the user; not in the ``repr``.
        since: Since when the person is held.
        reason: Why, as the caller's code.
        by: Who said so, by the name that the caller gave; None if none was given.
    """

    platform_id: str
    user_id: str = field(repr=False)
    since: datetime
    reason: str
    by: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """The hold as ``sermo-fsm hold --json`` prints it, ready for ``json.dumps``."""
        return json_form(self, ("platform_id", "user_id", "since", "reason", "by"))
