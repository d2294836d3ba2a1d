"""Keeping nothing longer than is said: a job in many steps, each in a transaction of its own.

A step finds what is too old, or erases a portion of it. A portion is complete in itself, so a job
that was interrupted is simply begun again: what is gone is not found any more. Either engine runs
the steps in its own way.
"""

from collections.abc import Callable, Generator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from attrs import asdict, define, evolve, field, fields, frozen

from sermo_fsm.core.erasure import Amount, Retained
from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.policy import Policy, Retention
from sermo_fsm.errors import InvalidArgument
from sermo_fsm.protocol.message import UserKey
from sermo_fsm.storage import ageing, erasing, holding
from sermo_fsm.storage.ageing import Cutoffs
from sermo_fsm.storage.arguments import check_id
from sermo_fsm.storage.column_types import plain
from sermo_fsm.storage.store import Store

__all__ = ["Job", "RetainProgress", "Step", "retain"]

RetainProgress = Callable[[Retained], object]
"""Called after each portion with what was erased so far."""

_T = TypeVar("_T")

_SPAN: Final = 20_000  # keys of bodies that are looked at in one statement
_SESSIONS: Final = 100  # whose bodies are one portion
_PICTURES: Final = 200


@frozen
class Step:
    """Something to do on a connection.

    Attributes:
        call: Does it; what *writes* returns the answer and no rows.
        writes: Whether it needs a transaction of its own.
    """

    call: Callable[[sa.Connection], Any]
    writes: bool = False


Job = Generator[Step, Any, _T]


@define
class _Retaining:
    """One run: who asked, and what it has come to."""

    store: Store
    cutoffs: Mapping[str, Cutoffs]
    by: str | None
    dry_run: bool
    progress: RetainProgress
    done: Amount = field(factory=Amount)
    held: set[UserKey] = field(factory=set)
    counted: set[int] = field(factory=set)

    @property
    def result(self) -> Retained:
        return Retained(**asdict(self.done), held=len(self.held))

    def portion(self, what: str, erase: "_Erase") -> Job[None]:
        """Erase one portion, and write down that it was."""
        amount, held = yield Step(partial(self._portion, what, erase), writes=True)
        self.done += amount
        self.held |= held
        self.progress(self.result)

    def _portion(
        self, what: str, erase: "_Erase", connection: sa.Connection
    ) -> tuple[tuple[Amount, set[UserKey]], Sequence[HistoryRow]]:
        erasing.overwriting(connection)
        amount, held = erase(connection)
        if amount != Amount() and not self.dry_run:
            now = datetime.now(UTC)
            erasing.note_erasure(
                connection, self.store.tables, amount, erased_at=now, what=what, erased_by=self.by
            )
        return (amount, held), ()

    def lock(self, connection: sa.Connection, users: set[UserKey]) -> set[UserKey]:
        """Lock these users; returns those of them who are held back."""
        if users:
            self.store.sql.lock(connection, sorted(users))
        return holding.held_among(connection, self.store.tables, users)

    def all(self) -> Job[Retained]:
        """Everything, people first: what goes with them has not to be found again."""
        kinds = {
            "people": self.people,
            "bodies": self.bodies,
            "pictures": self.pictures,
            "strays": self.strays,
        }
        for kind, walk in kinds.items():
            if self.cutoffs[kind].latest is not None:
                yield from walk(self.cutoffs[kind])
        return self.result

    # --- people ----------------------------------------------------------------------------------

    def people(self, cutoffs: Cutoffs) -> Job[None]:
        tables, after = self.store.tables, None
        while True:
            find = partial(ageing.old_people, tables=tables, cutoffs=cutoffs, after=after)
            users, after = yield Step(find)
            if users:
                yield from self.portion("people", partial(self._people, cutoffs, users))
            if after is None:
                return

    def _people(
        self, cutoffs: Cutoffs, found: list[UserKey], connection: sa.Connection
    ) -> tuple[Amount, set[UserKey]]:
        tables = self.store.tables
        held = self.lock(connection, {*found})
        sessions = erasing.sessions_of(connection, tables, sorted({*found} - held))
        # Who has come back meanwhile stays.
        back = {
            one.key for _, one in sessions if not cutoffs.reached(one.platform_id, one.closed_at)
        }
        sessions = [(key, one) for key, one in sessions if one.key not in back]
        users = {one.key for _, one in sessions}
        amount = self._bodies_of(connection, [key for key, _ in sessions])
        amount = evolve(
            amount,
            persons=len(users),
            sessions=len(sessions),
            rows=sum(one.rows for _, one in sessions),
        )
        if not self.dry_run:
            anew = {user: erasing.new_user_id() for user in users}
            erasing.erase_sessions(connection, tables, sessions, anew)
        return amount, held

    def _bodies_of(self, connection: sa.Connection, sessions: Sequence[int]) -> Amount:
        """Erase the bodies of these sessions."""
        tables = self.store.tables
        bodies = erasing.body_keys(connection, tables, sessions)
        pictures = [picture for _, picture in bodies]
        if self.dry_run:
            alone = erasing.pictures_of(connection, tables, pictures)
        else:
            erasing.erase_bodies(connection, tables, [key for key, _ in bodies])
            alone = erasing.erase_pictures(connection, tables, pictures)
        return Amount(bodies=len(bodies), pictures=alone)

    # --- bodies and pictures ---------------------------------------------------------------------

    def bodies(self, cutoffs: Cutoffs) -> Job[None]:
        yield from self._walk("bodies", ageing.old_bodies, cutoffs, _SESSIONS, self._bodies)

    def _bodies(
        self, found: list[tuple[int, UserKey]], connection: sa.Connection
    ) -> tuple[Amount, set[UserKey]]:
        held = self.lock(connection, {user for _, user in found})
        sessions = [key for key, user in found if user not in held and key not in self.counted]
        amount = self._bodies_of(connection, sessions)
        if self.dry_run:  # what is still there is found again in the next span
            self.counted |= {*sessions}
        else:
            erasing.erase_names(connection, self.store.tables, sessions)
        return evolve(amount, sessions=len(sessions)), held

    def pictures(self, cutoffs: Cutoffs) -> Job[None]:
        yield from self._walk("pictures", ageing.old_pictures, cutoffs, _PICTURES, self._pictures)

    def _pictures(
        self, found: list[tuple[int, UserKey | None]], connection: sa.Connection
    ) -> tuple[Amount, set[UserKey]]:
        tables = self.store.tables
        held = self.lock(connection, {user for _, user in found if user is not None})
        keys = [key for key, user in found if user is None or user not in held]
        if self.dry_run:
            pictures = erasing.pictures_in(connection, tables, keys)
            return Amount(pictures=erasing.pictures_of(connection, tables, pictures)), held
        pictures = erasing.take_pictures(connection, tables, keys)
        return Amount(pictures=erasing.erase_pictures(connection, tables, pictures)), held

    def _walk(
        self,
        what: str,
        find: Callable[..., list[Any]],
        cutoffs: Cutoffs,
        size: int,
        erase: Callable[[list[Any], sa.Connection], tuple[Amount, set[UserKey]]],
    ) -> Job[None]:
        """Look through all bodies, a span of keys at a time, and erase what *find* finds."""
        tables, after = self.store.tables, -1
        while True:
            first = yield Step(partial(ageing.first_body, tables=tables, after=after))
            if first is None:
                return
            after = first + _SPAN - 1
            looking = partial(find, tables=tables, cutoffs=cutoffs, first=first, last=after)
            found = yield Step(looking)
            for start in range(0, len(found), size):
                yield from self.portion(what, partial(erase, found[start : start + size]))

    # --- strays ----------------------------------------------------------------------------------

    def strays(self, cutoffs: Cutoffs) -> Job[None]:
        tables, after = self.store.tables, 0
        while True:
            find = partial(ageing.old_strays, tables=tables, cutoffs=cutoffs, after=after)
            found, after = yield Step(find)
            if found:
                yield from self.portion("strays", partial(self._strays, found))
            if after is None:
                return

    def _strays(self, found: list[Any], connection: sa.Connection) -> tuple[Amount, set[UserKey]]:
        tables = self.store.tables
        self.lock(connection, {user for row in found if (user := _user_of(row))})
        held: set[UserKey] = set()
        erased = found
        if everybody := holding.holds(connection, tables):
            texts = ageing.texts_of(connection, tables, [row.history_id for row in found])
            about = {
                row.id: holding.held_in(row, texts.get(row.history_id, ""), everybody)
                for row in found
            }
            held = set().union(*about.values())
            erased = [row for row in found if not about[row.id]]
        pictures = [row.image_sha256 for row in erased]
        bodies = sum(row.history_id is not None for row in erased)
        if self.dry_run:
            alone = erasing.pictures_of(connection, tables, pictures)
        else:
            erasing.erase_strays(connection, tables, erased, None)
            alone = erasing.erase_pictures(connection, tables, pictures)
        return Amount(strays=len(erased), bodies=bodies, pictures=alone), held


_Erase = Callable[[sa.Connection], tuple[Amount, set[UserKey]]]


def _user_of(row: Any) -> UserKey | None:
    """The user of a stray, by its columns."""
    known = row.platform is not None and row.user is not None
    return (row.platform, str(plain(row.user))) if known else None


def retain(
    store: Store,
    policy: Policy,
    retention: Retention | None,
    *,
    platform: str | None,
    by: str | None,
    dry_run: bool,
    progress: RetainProgress | None,
) -> Job[Retained]:
    """Erase what is too old now; a job that the caller runs step by step.

    Raises:
        InvalidArgument: An argument is unusable.
    """
    check_id("platform", platform)
    check_id("by", by)
    if retention is not None and not isinstance(retention, Retention):
        raise InvalidArgument("retention", wanted="a Retention", got=type(retention).__name__)
    everywhere, on = policy.retention, policy.retention_on
    if retention is not None:
        everywhere, on = retention, {}
    if platform is not None:
        everywhere, on = Retention(), {platform: on.get(platform, everywhere)}
    now = datetime.now(UTC)
    cutoffs = {
        one.name: Cutoffs(
            _before(now, getattr(everywhere, one.name)),
            {name: _before(now, getattr(age, one.name)) for name, age in on.items()},
        )
        for one in fields(Retention)
    }
    cutoffs["strays"] = _no_longer_than(cutoffs["strays"], cutoffs["people"])
    if platform is None:  # what has no platform may name somebody of any
        cutoffs["strays"] = evolve(cutoffs["strays"], nowhere=cutoffs["people"].latest)
    run = _Retaining(store, cutoffs, by, dry_run, progress or (lambda _: None))
    return run.all()


def _before(now: datetime, length: timedelta | None) -> datetime | None:
    return None if length is None else now - length


def _no_longer_than(strays: Cutoffs, people: Cutoffs) -> Cutoffs:
    """A stray may name a person without saying so in a column: it is kept no longer than people."""

    def later(one: datetime | None, other: datetime | None) -> datetime | None:
        return max(filter(None, (one, other)), default=None)

    return Cutoffs(
        later(strays.everywhere, people.everywhere),
        {name: later(cutoff, people.on[name]) for name, cutoff in strays.on.items()},
    )
