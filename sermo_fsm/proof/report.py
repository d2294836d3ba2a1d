"""The results of the proofs."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from attrs import asdict, frozen

__all__ = [
    "Check",
    "Finding",
    "Report",
    "SituationProgress",
    "check_from_cases",
    "ignore_progress",
]

SituationProgress = Callable[[int, int], None]
"""Called with the number of situations done and the number of situations in all."""


def ignore_progress(_done: int, _total: int) -> None:
    """Discard progress reports."""


@frozen
class Finding:
    """Something worth reporting though it breaks nothing: how often it occurred, and why."""

    name: str
    count: int
    reason: str


@frozen
class Check:
    """The result of one proof.

    Attributes:
        name: The name that ``sermo-fsm check`` prints.
        count: The number of cases tried.
        summary: What should hold in all of them.
        problems: A description of each case in which it does not hold.
        findings: What is worth reporting of the cases in which it holds, such as the declared
            exceptions of the ``edges`` check.
    """

    unit: ClassVar[str] = "case"
    """What ``count`` counts."""

    name: str
    count: int
    summary: str
    problems: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether at least one case was tried, and it holds in every case."""
        return self.count > 0 and not self.problems


def check_from_cases(
    name: str, summary: str, cases: Iterable[str], findings: Iterable[Finding] = ()
) -> Check:
    """Build a check from one string per case: its problem, or an empty string if it holds."""
    tried = tuple(cases)
    problems = tuple(problem for problem in tried if problem)
    return Check(name, len(tried), summary, problems, tuple(findings))


@frozen
class Report:
    """The results of all proofs. If the table is not total, the other proofs are not run."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether every check holds."""
        return all(check.ok for check in self.checks)

    def view(self) -> dict[str, Any]:
        """This value as ``sermo-fsm check --json`` prints it."""
        checks = [{"name": check.name, "ok": check.ok, **asdict(check)} for check in self.checks]
        return {"ok": self.ok, "checks": checks}
