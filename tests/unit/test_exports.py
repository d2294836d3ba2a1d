"""The machine for other tools, held against the table by those tools themselves."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from statemachine.io import load

from sermo_fsm.core.machine import LIVE, NO_GUARD, TABLE, Effect, Guard, State
from sermo_fsm.export.statechart import STATECHARTS, scxml, xstate
from sermo_fsm.protocol.events import Trigger
from tests.command.test_cli_support import COMMAND, environment, sermo
from tests.npm import run_node

Case = tuple[State, Trigger, frozenset[Guard]]
CASES: list[Case] = [
    (state, trigger, frozenset(holding))
    for state in State
    for trigger in Trigger
    for holding in (NO_GUARD, {Guard.CUSTOMER_WROTE_LATER})
]


def expected(state: State, trigger: Trigger, holding: frozenset[Guard]) -> tuple[State, bool]:
    """Where the table says it goes, and whether it is taken at all."""
    if state is State.CLOSED:  # final
        return state, False
    cell = TABLE[state, trigger]
    return cell.target(holding), cell.effect is not Effect.IGNORE


# --- SCXML --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chart() -> Any:
    """Our SCXML as a real reader has it; without trust, so it may hold no program."""
    return load(scxml(), format="scxml")


@pytest.mark.prove
@pytest.mark.parametrize("case", CASES, ids=lambda case: "-".join([*case[:2], *case[2]]))
def test_a_reader_of_scxml_goes_where_the_table_says(chart: Any, case: Case) -> None:
    state, trigger, holding = case
    machine = chart()
    machine.current_state_value = state.value
    for guard in Guard:
        setattr(machine.model, guard, guard in holding)
    taken = [event.id for event in machine.enabled_events()]
    if state is not State.CLOSED:  # it has ended: nothing can be sent any more
        machine.send(trigger.value)
    to, is_taken = expected(*case)
    assert machine.current_state_value == to
    assert (trigger.value in taken) is is_taken
    assert all(one.final for one in machine.configuration) is (to is State.CLOSED)


def test_a_reader_of_scxml_begins_where_a_chat_begins(chart: Any) -> None:
    machine = chart()
    assert machine.current_state_value == State.OPEN
    machine.current_state_value = State.WITH_AGENT.value
    machine.send(Trigger.AGENT_DONE.value)  # a guard holds only where somebody says so
    assert machine.current_state_value == State.CLOSED


# --- XState -------------------------------------------------------------------------------------

RUN_XSTATE = """
import { createMachine, createActor, transition } from "xstate";
import { readFileSync } from "node:fs";
const { config, cases } = JSON.parse(readFileSync(0, "utf8"));
const names = cases.flatMap(([, , holding]) => holding);
const guards = Object.fromEntries(names.map((n) => [n, ({ event }) => event.holding.includes(n)]));
const machine = createMachine(config, { guards });
const found = cases.map(([state, type, holding]) => {
  const snapshot = machine.resolveState({ value: state });
  const event = { type, holding };
  const taken = (machine.getTransitionData(snapshot, event) ?? []).length > 0;
  const [next] = transition(machine, snapshot, event);
  return [next.value, taken, next.status === "done"];
});
const first = createActor(machine).start().getSnapshot().value;
console.log(JSON.stringify({ first, found }));
"""


@pytest.mark.prove
@pytest.mark.service
def test_xstate_goes_where_the_table_says(tmp_path: Path) -> None:
    cases = [(state, trigger, [*holding]) for state, trigger, holding in CASES]
    given = json.dumps({"config": json.loads(xstate()), "cases": cases})
    answer = json.loads(run_node(RUN_XSTATE, given, tmp_path))
    assert answer["first"] == State.OPEN
    for case, (value, taken, done) in zip(CASES, answer["found"], strict=True):
        to, is_taken = expected(*case)
        assert (value, taken) == (to, is_taken), case
        assert done is (to is State.CLOSED)


def test_nothing_but_the_guarded_cells_asks_for_a_guard() -> None:
    for state, on in json.loads(xstate())["states"].items():
        for trigger, ways in on.get("on", {}).items():
            guarded = [way["guard"] for way in ways if "guard" in way]
            guard = TABLE[State(state), Trigger(trigger)].guard
            assert guarded == ([] if guard is None else [guard])


# --- the command --------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", STATECHARTS)
def test_the_same_bytes_come_out_every_time(kind: str) -> None:
    again = (*COMMAND, "export", "machine", "--format", kind)
    env = environment(PYTHONHASHSEED="7")
    done = subprocess.run(again, capture_output=True, check=True, env=env)
    assert done.stdout.decode() == STATECHARTS[kind]() == sermo(*again[len(COMMAND) :]).stdout


def test_scxml_is_what_is_written_where_nothing_is_said() -> None:
    assert sermo("export", "machine").stdout == sermo("export", "machine", "-o", "-").stdout
    assert sermo("export", "machine").stdout == scxml()


@pytest.mark.parametrize(
    ("name", "kind"), [("chat.scxml", "scxml"), ("chat.XML", "scxml"), ("chat.json", "xstate")]
)
def test_the_name_of_the_file_says_the_format(tmp_path: Path, name: str, kind: str) -> None:
    result = sermo("export", "machine", "-o", tmp_path / name)
    assert (result.exit_code, result.output) == (0, "")
    assert (tmp_path / name).read_text("utf-8") == STATECHARTS[kind]()


def test_a_name_that_says_none_needs_the_option(tmp_path: Path) -> None:
    result = sermo("export", "machine", "-o", tmp_path / "chat.txt")
    assert result.exit_code == 2
    assert "does not say which format to write" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_name_and_a_format_that_contradict_each_other_are_2(tmp_path: Path) -> None:
    result = sermo("export", "machine", "--format", "scxml", "-o", tmp_path / "chat.json")
    assert result.exit_code == 2
    assert "says xstate, but --format says scxml" in result.stderr
    assert not list(tmp_path.iterdir())


def test_json_holds_what_is_written(tmp_path: Path) -> None:
    printed = {"format": "scxml", "file": None, "machine": scxml()}
    assert json.loads(sermo("export", "machine", "--json").stdout) == printed
    path = tmp_path / "chat.json"
    written = {"format": "xstate", "file": str(path), "machine": xstate()}
    assert json.loads(sermo("export", "machine", "--json", "-o", path).stdout) == written


def test_it_needs_no_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert sermo("export", "machine", SERMO_DB="nonsense").exit_code == 0
    assert not list(tmp_path.iterdir())


def test_every_state_is_there() -> None:
    assert [*json.loads(xstate())["states"]] == [*State]
    assert len(LIVE) == scxml().count("<state ")
