"""Change one cell of a table at a time, and see who notices: ``make mutants``.

Every cell of the machine is given every other meaning, its guard is dropped and turned round, and
every cell of the ownership table gets every other rule. Each mutant is tried by ``sermo-fsm check``
first, then by the tests, the quickest first, until one of them fails and so kills it. A mutant that
survives all of them has to be explained in ``EXPLAINED``, and an explained one has to survive.

No file is changed: ``tools/mutated.py`` tries each mutant in its own process.
"""

import argparse
import ast
import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final, cast

CHECKOUT: Final = Path(__file__).resolve().parent.parent
TESTS: Final[tuple[tuple[str, ...], ...]] = (
    ("tests/unit/test_machine.py",),
    ("tests/unit/test_ownership.py",),
    ("tests/storage/test_stories.py", "-k", "sqlite and not async"),
)
"""The tests that try a mutant after ``check``, the quickest first."""

LONG: Final[tuple[tuple[str, ...], ...]] = (
    ("tests/storage/test_model.py", "-k", "sqlite and not async"),
)
"""The tests that try a mutant that survives all of these and is not explained."""

Mutant = dict[str, str]
"""Its ``module``, its ``cell``, what that ``was`` and ``becomes``, and the changed ``source``."""

# --- explained survivors -------------------------------------------------------------------------

_NO_SESSION: Final = "without a session no event can be late, echo, linger or resume"
_LATE: Final = "with a closed session both rules mean that the event is late"

EXPLAINED: Final = {
    **{
        ("no session yet", was, becomes): _NO_SESSION
        for was in ("stray", "late", "echo", "lingers", "resumes")
        for becomes in ("stray", "late", "echo", "lingers", "resumes")
    },
    **{
        (ending, *pair): _LATE
        for ending in (
            "closed by client_left, end_session or close",
            "closed by agent_done",
            "closed by the clock",
        )
        for pair in (("late", "stray"), ("stray", "late"))
    },
}
"""Why a mutant is equivalent to the original, by column, old rule and new rule."""


def explanation(mutant: Mutant) -> str | None:
    """Why this mutant cannot be noticed; None if it has to be."""
    column = mutant["cell"].partition(" in ")[2]
    return EXPLAINED.get((column, mutant["was"], mutant["becomes"]))


# --- making mutants ------------------------------------------------------------------------------


def all_mutants() -> list[Mutant]:
    """Every mutant, table by table."""
    return [*_machine_mutants(), *_ownership_mutants()]


def _machine_mutants() -> Iterator[Mutant]:
    from sermo_fsm.core import machine  # not in the worker

    source = Path(machine.__file__).read_bytes()
    starts = [0]
    for line in source.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    for row in _rules(source):
        trigger, *cells = (str(ast.literal_eval(cell)) for cell in row)
        for state, was, node in zip(machine.LIVE, cells, row[1:], strict=True):
            begin = starts[node.lineno - 1] + node.col_offset
            end = starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)
            for becomes in _meanings(was, state, [*machine.State]):
                changed = source[:begin] + json.dumps(becomes).encode() + source[end:]
                yield {
                    "module": machine.__name__,
                    "cell": f"{trigger} in {state}",
                    "was": was,
                    "becomes": becomes,
                    "source": changed.decode(),
                }


def _rules(source: bytes) -> list[list[ast.expr]]:
    """The cells of each row of the table, as nodes of the syntax tree."""
    (table,) = (
        node.value
        for node in ast.parse(source).body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "RULES"
    )
    return [row.elts for row in getattr(table, "elts", ()) if isinstance(row, ast.Tuple)]


def _meanings(was: str, state: str, states: Sequence[str]) -> list[str]:
    """Every other meaning that a cell of *state* can have.

    A guarded cell can have other targets on either side of its guard, too.
    """
    targets = [target for target in states if target != state]
    meanings = ["=", "×", *targets]
    target, _, condition = was.partition(" unless ")
    guard, _, otherwise = condition.partition(": ")
    if guard:
        meanings += [f"{to} unless {guard}: {otherwise}" for to in targets if to != otherwise]
        meanings += [f"{target} unless {guard}: {to}" for to in targets if to != target]
        meanings.append(f"{otherwise} unless {guard}: {target}")
    return [meaning for meaning in dict.fromkeys(meanings) if meaning != was]


def _ownership_mutants() -> Iterator[Mutant]:
    from sermo_fsm.core import ownership  # not in the worker

    source = Path(ownership.__file__).read_text("utf-8")
    for trigger, row in ownership.RULES.items():
        for column, (ending, was) in enumerate(zip(ownership.COLUMNS, row, strict=True)):
            for becomes in ownership.Rule:
                if becomes is was:
                    continue
                rules = [
                    f"Rule({str(it)!r})" for it in (*row[:column], becomes, *row[column + 1 :])
                ]
                line = f"RULES = {{**RULES, Trigger({str(trigger)!r}): ({', '.join(rules)})}}"
                yield {
                    "module": ownership.__name__,
                    "cell": f"{trigger} in {ending}",
                    "was": str(was),
                    "becomes": str(becomes),
                    "source": f"{source}\n\n{line}\n",
                }


# --- trying mutants ------------------------------------------------------------------------------


def _request(mutant: Mutant) -> str:
    tests = TESTS if explanation(mutant) else (*TESTS, *LONG)
    return json.dumps({**mutant, "tests": tests}) + "\n"


def kill(mutants: Sequence[Mutant], jobs: int, progress: Callable[[int], object]) -> list[str]:
    """Try *jobs* mutants at a time; return the name of what kills each, or "" for a survivor."""
    left = iter(enumerate(mutants))
    killers = [""] * len(mutants)

    def one_worker(_: int) -> None:
        command = [sys.executable, str(Path(__file__).with_name("mutated.py"))]
        with subprocess.Popen(  # noqa: S603 - ourselves
            command, cwd=CHECKOUT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        ) as worker:
            requests, answers = cast("IO[str]", worker.stdin), cast("IO[str]", worker.stdout)
            for number, mutant in left:
                requests.write(_request(mutant))
                requests.flush()
                killers[number] = json.loads(answers.readline())
                progress(number)
            requests.close()

    with ThreadPoolExecutor(jobs) as workers:
        list(workers.map(one_worker, range(jobs)))
    return killers


def problem_with(mutant: Mutant, killer: str) -> str:
    """What is wrong with this result; empty if it is as expected."""
    what = f"{mutant['cell']}: {mutant['was']} -> {mutant['becomes']}"
    explained = explanation(mutant)
    if killer.startswith("nothing"):
        return f"{what} was not tried"
    if not killer and explained is None:
        return f"{what} survives, and nobody has explained it"
    if killer and explained is not None:
        return f"{what} is noticed by {killer}, though explained: {explained}"
    return ""


def summary(mutants: Sequence[Mutant], killers: Sequence[str]) -> dict[str, Any]:
    """The numbers of mutants, by what killed them, and the problems."""
    tables: dict[str, Counter[str]] = {}
    for mutant, killer in zip(mutants, killers, strict=True):
        tables.setdefault(mutant["module"], Counter())[killer or "nobody, as explained"] += 1
    problems = [problem_with(*one) for one in zip(mutants, killers, strict=True)]
    return {
        "mutants": len(mutants),
        "killers": {module: dict(count.most_common()) for module, count in tables.items()},
        "problems": [problem for problem in problems if problem],
    }


def chosen(mutants: Iterable[Mutant], only: str, every: int) -> list[Mutant]:
    """Every *every*-th of the mutants with the text *only* in their cell."""
    return [mutant for mutant in mutants if only in mutant["cell"]][::every]


def main(arguments: Sequence[str]) -> int:
    """Try the mutants and print the summary; return 1 if there is a problem, else 0."""
    parser = argparse.ArgumentParser(prog="mutants.py", description=__doc__.partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time")
    parser.add_argument("--only", default="", help="only cells with these words, as 'in queued'")
    parser.add_argument("--every", type=int, default=1, help="only each so many-th")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    mutants, begin = chosen(all_mutants(), options.only, options.every), time.monotonic()
    found = summary(mutants, kill(mutants, options.jobs, _show_progress))
    found["seconds"] = round(time.monotonic() - begin)
    print(json.dumps(found, indent=2, ensure_ascii=False) if options.json else _format(found))
    return 1 if found["problems"] else 0


def _show_progress(done: int) -> None:
    if sys.stderr.isatty():
        print(f"\r{done + 1}", end="", file=sys.stderr, flush=True)


def _format(found: dict[str, Any]) -> str:
    lines = [f"{found['mutants']} mutants in {found['seconds']} s"]
    for module, killers in found["killers"].items():
        lines.append(f"{module}:")
        lines += [f"{count:6} noticed by {killer}" for killer, count in killers.items()]
    return "\n".join([*lines, *found["problems"]])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
