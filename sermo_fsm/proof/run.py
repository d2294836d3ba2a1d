"""Run every proof about the machine: what ``sermo-fsm check`` does.

The proofs try every case. Some look at the table alone, the others call the real ``advance``.
Every situation that they start from was reached by real events, so each of them can happen.
A case that fails is reported in words.
"""

from collections.abc import Callable
from typing import Any, Final

from sermo_fsm.core.policy import Durations
from sermo_fsm.proof import orders, steps, table
from sermo_fsm.proof.report import Check, Report, SituationProgress, ignore_progress
from sermo_fsm.proof.situation_classes import Simulator
from sermo_fsm.proof.situations import find_situations

__all__ = ["run_checks"]

_TABLE_PROOFS: Final = (
    table.deterministic,
    table.reachable,
    table.closing,
    table.quiet,
    table.effective,
    table.same_machine,
)
_STEP_PROOFS: Final = (steps.step, steps.by_hand, steps.final, steps.facts)


def run_checks(
    progress: SituationProgress = ignore_progress, *, durations: Durations | None = None
) -> Report:
    """Run every proof. This takes some seconds.

    Args:
        progress: Called with how many of the situations are done, and how many there are.
        durations: The policy to prove the machine under; the default policy if None.
    """
    total = table.total()
    if not total.ok:
        return Report((total,))
    table_checks = (check for proof in _TABLE_PROOFS for check in _run_proof(proof))
    simulator = Simulator(durations or Durations())
    return Report((total, *table_checks, *_run_step_proofs(simulator, progress)))


def _run_step_proofs(simulator: Simulator, progress: SituationProgress) -> tuple[Check, ...]:
    try:
        situations = find_situations(simulator)
    except Exception as error:  # noqa: BLE001 - a table that breaks `advance` is a finding, too
        return (_failed_check("situations", error),)
    checks = [check for proof in _STEP_PROOFS for check in _run_proof(proof, simulator, situations)]
    return (*checks, *_run_proof(orders.law_and_edges, simulator, situations, progress))


def _run_proof(
    proof: Callable[..., Check | tuple[Check, ...]], *arguments: Any
) -> tuple[Check, ...]:
    try:
        checks = proof(*arguments)
    except Exception as error:  # noqa: BLE001 - a table that breaks `advance` is a finding, too
        return (_failed_check(proof.__name__, error),)
    return (checks,) if isinstance(checks, Check) else checks


def _failed_check(name: str, error: Exception) -> Check:
    problem = f"a step fails with {type(error).__name__}: {error}"
    return Check(name, 0, "every step can be taken", (problem,))
