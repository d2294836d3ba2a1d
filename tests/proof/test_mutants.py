"""The mutants: there are as many as there should be, and somebody notices them."""

import importlib.util
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.support import CHECKOUT

pytestmark = pytest.mark.prove

TOOL = CHECKOUT / "tools" / "mutants.py"


def _load() -> Any:
    spec = importlib.util.spec_from_file_location("mutants", TOOL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mutants = _load()
EVERY = mutants.all_mutants()


def test_every_cell_gets_every_other_meaning() -> None:
    # A cell can stay, mean nothing or move to four other states: five besides what it is. The
    # three guarded ones have all six, another target by two, another way out by two, and the guard
    # turned.
    count = Counter(mutant["module"] for mutant in EVERY)
    assert count == {
        "sermo_fsm.core.machine": 25 * 4 * 5 + 3 * (1 + 2 + 2 + 1),
        "sermo_fsm.core.ownership": 23 * 4 * 5,
    }


@pytest.mark.parametrize(
    "cell", ["agent_done in with_agent", "end_session in queued", "end_session in with_agent"]
)
def test_the_guard_is_dropped_and_turned_round(cell: str) -> None:
    becomes = [it["becomes"] for it in EVERY if it["cell"] == cell]
    assert "closed" in becomes
    assert "bot unless customer_wrote_later: closed" in becomes
    assert len(set(becomes)) == len(becomes) == 11


def test_each_changes_one_place_of_the_text() -> None:
    texts = {
        module: Path(str(importlib.util.find_spec(module).origin)).read_text("utf-8")  # type: ignore[union-attr]  # it is there
        for module in ("sermo_fsm.core.machine", "sermo_fsm.core.ownership")
    }
    assert len({mutant["source"] for mutant in EVERY}) == len(EVERY)
    for mutant in EVERY:
        old = texts[mutant["module"]].splitlines()
        new = [line for line in mutant["source"].splitlines() if line]
        assert len([line for line in new if line not in old]) == 1


def tried(*arguments: str) -> tuple[int, dict[str, Any]]:
    command = [sys.executable, str(TOOL), "--json", "--jobs", "1", *arguments]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.stderr == ""
    found: dict[str, Any] = json.loads(done.stdout)
    return done.returncode, found


def test_some_of_them_are_noticed() -> None:
    status, found = tried("--only", "bot_text in open", "--every", "2")
    assert (status, found["problems"]) == (0, [])
    killers = found["killers"]["sermo_fsm.core.machine"]
    assert sum(killers.values()) == 3
    assert set(killers) <= {"check", "tests/unit/test_machine.py"}


def test_ownership_is_noticed_too() -> None:
    status, found = tried("--only", "bot_text in closed by agent_done", "--every", "4")
    assert (status, found["problems"]) == (0, [])
    assert sum(found["killers"]["sermo_fsm.core.ownership"].values()) == 2


OPENS = {"cell": "typing in closed by the clock", "was": "resumes", "becomes": "opens"}
SAME = {"cell": "unknown in no session yet", "was": "stray", "becomes": "late"}


@pytest.mark.parametrize(
    ("mutant", "killer", "problem"),
    [
        (OPENS, "check", ""),
        (OPENS, "", "typing in closed by the clock: resumes -> opens survives"),
        (OPENS, "nothing: it broke off", "was not tried"),
        (SAME, "", ""),
        (SAME, "check", "is noticed by check, though explained: without a session"),
    ],
)
def test_a_survivor_has_to_be_explained_and_who_is_explained_has_to_survive(
    mutant: dict[str, str], killer: str, problem: str
) -> None:
    said = mutants.problem_with(mutant, killer)
    assert problem in said
    assert bool(said) is bool(problem)


def test_what_is_found_is_summed_up() -> None:
    both = [{**OPENS, "module": "a"}, {**SAME, "module": "a"}]
    found = mutants.summary(both, ["check", ""])
    assert found == {
        "mutants": 2,
        "killers": {"a": {"check": 1, "nobody, as explained": 1}},
        "problems": [],
    }
