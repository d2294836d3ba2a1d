"""The table, the compiled lookup and ``transitions``, against each other and against the design."""

import re
import subprocess
import sys
from collections.abc import Iterator
from itertools import product
from types import SimpleNamespace

import pytest

from sermo_fsm.core.machine import (
    LIVE,
    NO_GUARD,
    RULES,
    TABLE,
    Cell,
    Effect,
    Guard,
    State,
    build_machine,
    compile_rules,
    shared_machine,
)
from sermo_fsm.errors import InvalidTable
from sermo_fsm.protocol.events import Trigger

# Copied from section 6 of the design, by hand. "→ bot ¹" etc. are what the design says in words.
GRID = """
| trigger | open | bot | queued | with_agent |
|---|---|---|---|---|
| customer_text | → bot | = | = | = |
| heartbeat, typing, messages_read | = | = | = | = |
| client_unload | = | = | = | = |
| client_left | → closed | → closed | → closed | → closed |
| bot_text | → bot | = | = | = |
| agent_text | → with_agent | → with_agent | → with_agent | = |
| unattributed_text, system_text, typing_on, typing_off | = | = | = | = |
| queue_number | → queued | → queued | = | → queued |
| agent_done | × | × | × | → closed ¹ |
| platform_closed | = | = | → bot | = |
| handover_to_bot | → bot | = | → bot | → bot |
| handover_to_agent | → queued | → queued | = | × |
| start | = | = | = | = |
| handover_to_queue | → queued | → queued | = | → queued |
| claim_session | → with_agent | → with_agent | → with_agent | = |
| end_session | × | × | → closed ¹ | → closed ¹ |
| agent_released | × | × | × | → bot |
| expire | → closed | → closed | → closed | → closed |
| close | → closed | → closed | → closed | → closed |
| unknown | = | = | = | = |
"""
# ¹ → bot, if a customer_text of this session was received later than it (a late one counts for the
# kept state; in a resumed session those of the one before count too)
WROTE_LATER = frozenset({Guard.CUSTOMER_WROTE_LATER})
FOOTNOTE = "bot"

Wanted = tuple[str, str, str]
"""What the design says of a cell: its sign, where it ends, where it ends under the footnote."""


def read_grid(text: str) -> Iterator[tuple[str, str, Wanted]]:
    """State and trigger of each cell, and what the design says of it."""
    lines = [re.split(r"\s*\|\s*", line.strip("| ")) for line in text.strip().splitlines()]
    (_, *states), _, *rows = lines
    for triggers, *cells in rows:
        for trigger, (state, cell) in product(
            triggers.split(", "), zip(states, cells, strict=True)
        ):
            sign, *where = cell.split()
            to = where[0] if where else state
            yield state, trigger, (sign, to, FOOTNOTE if "¹" in where else to)


WANTED = {(state, trigger): wanted for state, trigger, wanted in read_grid(GRID)}
CELLS = [pytest.param(*key, id=f"{key[0]}-{key[1]}") for key in WANTED]


def test_the_grid_above_has_every_cell_once() -> None:
    assert len(list(read_grid(GRID))) == len(WANTED) == 4 * 25
    assert {state for state, _ in WANTED} == {"open", "bot", "queued", "with_agent"}
    assert {trigger for _, trigger in WANTED} == set(Trigger)


def test_the_table_has_every_cell_and_no_other() -> None:
    assert set(TABLE) == set(WANTED)
    assert set(TABLE) == set(product(LIVE, Trigger))


@pytest.mark.parametrize(("state", "trigger"), CELLS)
def test_the_lookup_says_what_the_design_says(state: str, trigger: str) -> None:
    cell = TABLE[State(state), Trigger(trigger)]
    said = (cell.effect, cell.target(), cell.target(WROTE_LATER))
    assert said == WANTED[state, trigger]


@pytest.mark.parametrize("holding", [NO_GUARD, WROTE_LATER], ids=["no guard", "wrote later"])
@pytest.mark.parametrize(("state", "trigger"), CELLS)
def test_transitions_does_what_the_design_says(
    state: str, trigger: str, holding: frozenset[Guard]
) -> None:
    sign, to, otherwise = WANTED[state, trigger]
    subject = SimpleNamespace(state=state, holding=holding)
    assert shared_machine().events[trigger].trigger(subject) is (sign != "×")
    assert subject.state == (otherwise if holding else to)


@pytest.mark.parametrize("trigger", Trigger)
def test_transitions_does_nothing_with_a_closed_chat(trigger: Trigger) -> None:
    subject = SimpleNamespace(state="closed", holding=WROTE_LATER)
    assert shared_machine().events[trigger].trigger(subject) is False
    assert subject.state == "closed"


def test_the_shared_machine_holds_no_chat() -> None:
    assert shared_machine().models == []
    assert set(shared_machine().events) == set(Trigger)  # and no transitions of its own making


def test_transitions_is_loaded_only_when_somebody_asks_for_a_machine() -> None:
    code = "import sys, sermo_fsm.core.advance; sys.exit('transitions' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_machine_can_be_built_from_any_table() -> None:
    everything_ignored = dict.fromkeys(product(LIVE, Trigger), Cell(Effect.IGNORE, State.OPEN))
    assert build_machine(everything_ignored).events == {}


def with_row(name: str, *cells: str) -> list[tuple[str, ...]]:
    """The rules, but for one row."""
    return [(name, *cells) if row[0] == name else row for row in RULES]


STAYS = ("=", "=", "=", "=")


@pytest.mark.parametrize(
    ("rules", "where", "problem"),
    [
        pytest.param([*RULES, ("shout", *STAYS)], "shout", "no such trigger", id="unknown trigger"),
        pytest.param(
            with_row("bot_text", "away", "=", "=", "="),
            "bot_text in open",
            "no state 'away'",
            id="unknown state",
        ),
        pytest.param(
            with_row("bot_text", "=", "closed unless it_rains: bot", "=", "="),
            "bot_text in bot",
            "no guard 'it_rains'",
            id="unknown guard",
        ),
        pytest.param(
            with_row("bot_text", "closed unless customer_wrote_later: away", "=", "=", "="),
            "bot_text in open",
            "no state 'away'",
            id="unknown state beside a guard",
        ),
        pytest.param(
            with_row("bot_text", "closed unless customer_wrote_later", "=", "=", "="),
            "bot_text in open",
            "no state ''",
            id="guard without another state",
        ),
        pytest.param(
            with_row("bot_text", "bot", "=", "="), "bot_text", "3 cells for 4", id="cell left out"
        ),
        pytest.param(
            with_row("bot_text", *STAYS, "="), "bot_text", "5 cells for 4", id="cell too many"
        ),
        pytest.param(
            [row for row in RULES if row[0] not in ("typing", "expire")],
            "typing, expire",
            "left out",
            id="rows left out",
        ),
        pytest.param([*RULES, RULES[0]], "customer_text", "given twice", id="row given twice"),
        pytest.param(
            with_row("bot_text", "bot", "bot", "=", "="),
            "bot_text in bot",
            "moves to where it is; write '='",
            id="move to itself",
        ),
        pytest.param(
            with_row("agent_done", "×", "×", "×", "closed unless customer_wrote_later: with_agent"),
            "agent_done in with_agent",
            "moves to where it is while customer_wrote_later holds",
            id="move to itself while a guard holds",
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_refused(
    rules: list[tuple[str, ...]], where: str, problem: str
) -> None:
    with pytest.raises(InvalidTable) as refusal:
        compile_rules(rules)
    assert refusal.value.cell == where
    assert problem in refusal.value.problem
    assert str(refusal.value) == f"{where}: {refusal.value.problem}"
