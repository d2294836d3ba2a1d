"""What a proof says."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from attrs import asdict, frozen

__all__ = ["Check", "Finding", "Progress", "Report", "check_of", "unheard"]

Progress = Callable[[int, int], None]
"""Told how much is done, and how much there is in all."""


def unheard(_done: int, _total: int) -> None:
    """Nobody watches."""


@frozen
class Finding:
    """Something that was looked for and found, how often, and why it is so."""

    name: str
    count: int
    reason: str


@frozen
class Check:
    """How many cases were tried, what should hold in all of them, and where it does not.

    Attributes:
        problems: The cases where it does not, in words.
        findings: What there is to know where it holds; of the edges, the declared exceptions.
    """

    unit: ClassVar[str] = "case"
    """What is counted."""

    name: str
    count: int
    summary: str
    problems: tuple[str, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def ok(self) -> bool:
        """It holds in every case, and there was one."""
        return self.count > 0 and not self.problems


def check_of(
    name: str, summary: str, cases: Iterable[str], findings: Iterable[Finding] = ()
) -> Check:
    """Each case is what is wrong with it; empty where it holds."""
    tried = tuple(cases)
    problems = tuple(problem for problem in tried if problem)
    return Check(name, len(tried), summary, problems, tuple(findings))


@frozen
class Report:
    """All that was to be proved. Where the table is not total, nothing else can be tried."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Everything holds."""
        return all(check.ok for check in self.checks)

    def view(self) -> dict[str, Any]:
        """As ``sermo-fsm check --json`` prints it."""
        checks = [{"name": check.name, "ok": check.ok, **asdict(check)} for check in self.checks]
        return {"ok": self.ok, "checks": checks}
