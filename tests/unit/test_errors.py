"""Errors carry fields, share one root, and travel between processes."""

import pickle

import pytest

from sermo_fsm import (
    InvalidArgument,
    InvalidEvent,
    LostRace,
    MessageConflict,
    SchemaNotReady,
    SermoError,
    StoreBusy,
    StoreError,
)
from sermo_fsm.errors import InvalidTable

EVERY = (
    InvalidEvent("$.agent.id", wanted="a string", got="a number"),
    InvalidArgument("limit", wanted="0 or more", got=-1),
    InvalidTable("agent_done in bot", "is given twice"),
    MessageConflict("inbound", "m-1"),
    StoreError("the disk is full"),
    SchemaNotReady(None, "0001", "run this"),
    SchemaNotReady("0001", "0002", "run that"),
    StoreBusy("try again"),
    LostRace("try again"),
)
IDS = [f"{number}-{type(error).__name__}" for number, error in enumerate(EVERY)]


@pytest.mark.parametrize("error", EVERY, ids=IDS)
def test_an_error_is_the_same_on_the_other_side_of_a_pipe(error: SermoError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own

    assert type(copy) is type(error)
    assert (str(copy), vars(copy)) == (str(error), vars(error))


@pytest.mark.parametrize("error", EVERY, ids=IDS)
def test_one_except_catches_them_all(error: SermoError) -> None:
    assert isinstance(error, SermoError)
    assert isinstance(error, StoreError) is isinstance(
        error, StoreError | SchemaNotReady | StoreBusy | LostRace
    )


def test_words_say_what_where_and_what_to_do() -> None:
    said = [str(error) for error in EVERY]

    assert said[0] == "$.agent.id: wanted a string, got a number"
    assert said[1] == "limit: wanted 0 or more, got -1"
    assert said[2] == "agent_done in bot: is given twice"
    assert (
        said[5]
        == "the database has no sermo_fsm tables, this release needs revision 0001: run this"
    )
    assert "is at revision 0001" in said[6]
