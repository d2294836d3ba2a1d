"""What a caller may ask by: checked where a question is made, before any connection is needed.

Every check raises :class:`~sermo_fsm.InvalidArgument` with the name of the argument.
"""

import uuid
from collections.abc import Iterable
from datetime import datetime

from sermo_fsm.core.machine import State, StateName
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.envelope import as_moment
from sermo_fsm.protocol.fields import AN_ID, BIGGEST_INTEGER, is_id

__all__ = [
    "as_count",
    "as_optional_moment",
    "as_states",
    "check_given_id",
    "check_id",
    "check_session_id",
    "is_session_id",
]


def check_id(argument: str, value: str | None) -> None:
    """Refuse what can't be an id; None is fine."""
    if value is not None and not is_id(value):
        raise InvalidArgument(argument, wanted=AN_ID, got=value)


def check_given_id(argument: str, value: object) -> None:
    """Refuse what can't be an id, None as well."""
    if not is_id(value):
        raise InvalidArgument(argument, wanted=AN_ID, got=value)


def check_session_id(value: object) -> None:
    """Refuse what is no text; a text may be the id of no session."""
    if not isinstance(value, str):
        raise InvalidArgument("session_id", wanted="a string", got=value)


def as_count(argument: str, value: int | None) -> int | None:
    """*value*, if it is a number of rows or the number of a row."""
    if value is not None and (type(value) is not int or not 0 <= value <= BIGGEST_INTEGER):
        raise InvalidArgument(argument, wanted=f"0 to {BIGGEST_INTEGER}", got=value)
    return value


def as_optional_moment(argument: str, value: datetime | None) -> datetime | None:
    """*value* in UTC, if it is an aware datetime."""
    return None if value is None else as_moment(argument, value)


def as_states(state: StateName | Iterable[StateName] | None) -> tuple[State, ...]:
    """One state or several, as a tuple; empty for None."""
    try:
        names = () if state is None else (state,) if isinstance(state, str) else tuple(state)
        return tuple(State(name) for name in names)
    except (TypeError, ValueError):
        raise InvalidArgument("state", wanted=" or ".join(State), got=state) from None


def is_session_id(value: object) -> bool:
    """Whether *value* can be the id of a session; not every database takes any text for one."""
    try:
        return isinstance(value, str) and str(uuid.UUID(value)) == value
    except ValueError:
        return False
