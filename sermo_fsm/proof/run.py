"""What is proved about the machine, by trying every case: from the table, and with the real step.

Nothing is sampled. The situations that the proofs start from were brought there by real events, so
each of them can happen. What fails says so in words, case by case.
"""

from collections.abc import Callable
from typing import Any, Final

from sermo_fsm.core.policy import Durations
from sermo_fsm.proof import orders, steps, table
from sermo_fsm.proof.chats import situations
from sermo_fsm.proof.report import Check, Progress, Report, unheard
from sermo_fsm.proof.situation_classes import Ground

__all__ = ["run_checks"]

_OF_THE_TABLE: Final = (
    table.deterministic,
    table.reachable,
    table.quiet,
    table.effective,
    table.same_machine,
)
_OF_THE_STEP: Final = (steps.step, steps.final, steps.facts)


def run_checks(progress: Progress = unheard, *, durations: Durations | None = None) -> Report:
    """Prove everything; takes some seconds.

    Args:
        progress: Told how many of the situations are done, and how many there are.
        durations: The policy to prove it under; by default that of who sets none.
    """
    total = table.total()
    if not total.ok:
        return Report((total,))
    of_the_table = (check for prove in _OF_THE_TABLE for check in _try(prove))
    return Report(
        (total, *of_the_table, *_with_the_step(Ground(durations or Durations()), progress))
    )


def _with_the_step(ground: Ground, progress: Progress) -> tuple[Check, ...]:
    try:
        found = situations(ground)
    except Exception as error:  # noqa: BLE001 - see below
        return (_broken("situations", error),)
    checks = [check for prove in _OF_THE_STEP for check in _try(prove, ground, found)]
    return (*checks, *_try(orders.law_and_edges, ground, found, progress))


def _try(prove: Callable[..., Check | tuple[Check, ...]], *given: Any) -> tuple[Check, ...]:
    try:
        checks = prove(*given)
    except Exception as error:  # noqa: BLE001 - a table that breaks the step is a finding, too
        return (_broken(prove.__name__, error),)
    return (checks,) if isinstance(checks, Check) else checks


def _broken(name: str, error: Exception) -> Check:
    problem = f"a step fails with {type(error).__name__}: {error}"
    return Check(name, 0, "every step can be taken", (problem,))
