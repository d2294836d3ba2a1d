"""Those who are measured: all of them get the same messages, and have to end in the same states.

A contender is a class in a module of this folder. Each is imported only where it runs, in a process
of its own, so that none is slowed down by another's garbage.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from importlib import import_module
from typing import ClassVar, Final

from attrs import frozen

from benchmarks.traffic import Message

__all__ = ["COMMIT", "FLOOR", "OURS", "PEERS", "Contender", "Ends", "Job", "contender"]

Ends = dict[str, tuple[str, int]]
"""By user: the state in which the chat is, and how many rows its history has."""

OURS: Final = "sermo_fsm"
FLOOR: Final = "the driver alone"
COMMIT: Final = "a bare commit"


@frozen
class Job:
    """The transactions of a run.

    Attributes:
        before: What has happened before the clock starts.
        timed: What is measured.
    """

    before: Sequence[Sequence[Message]]
    timed: Sequence[Sequence[Message]]


class Contender(ABC):
    """Takes messages, and keeps where each chat is and its history."""

    every_event_is_a_row: ClassVar[bool] = False
    """Whether quiet events are in the history, too."""

    def learn(self, url: str, job: Job) -> None:  # noqa: B027 - most have nothing to learn
        """Prepare for *job*, once, before any clock starts; *url* is an empty database."""

    @abstractmethod
    def open(self, url: str) -> None:
        """Create the tables in the empty database at *url*, and connect."""

    @abstractmethod
    def many(self, messages: Sequence[Message]) -> None:
        """Take in *messages*, in one transaction."""

    def one(self, message: Message) -> None:
        """Take in one message, in a transaction of its own."""
        self.many((message,))

    @abstractmethod
    def ends(self) -> Ends | None:
        """What was stored; None if that was never the point."""

    def digest(self) -> str | None:
        """A digest of everything that was stored; None if nobody else stores the same."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Disconnect."""


_PEERS: Final = {
    "transitions": "with_transitions.Transitions",
    "python-statemachine": "with_statemachine.PythonStatemachine",
    "eventsourcing": "with_eventsourcing.Eventsourcing",
    "xstate-statemachine": "with_xstate.XstateStatemachine",
    "django-fsm-2": "with_django.DjangoFsm",
}
_CLASSES: Final = {
    COMMIT: "commit.Commit",
    FLOOR: "floor.Floor",
    OURS: "ours.Ours",
    **_PEERS,
}

PEERS: Final = tuple(_PEERS)
"""What one could take instead of us."""


def contender(name: str) -> Contender:
    """A new contender of this name."""
    module, _, kind = _CLASSES[name].partition(".")
    made: Contender = getattr(import_module(f"{__name__}.{module}"), kind)()
    return made
