"""The worker of ``tools/mutants.py``: reads a mutant per line, and prints a line with its killer.

This process does not import ``sermo_fsm``. It forks for each mutant, and the fork imports the
changed source instead of the module in the file.
"""

import contextlib
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

CHECK: Final = "check"
"""The name of ``sermo-fsm check``, which tries a mutant first."""

_TIMEOUT: Final = 300  # seconds; a mutant may run for ever


class _MutantLoader(importlib.machinery.SourceFileLoader):
    """Loads one module from the source of the mutant."""

    source: str

    def get_code(self, fullname: str) -> CodeType:
        """Compile the source; the cached code is that of the file."""
        return compile(self.source, self.get_filename(fullname), "exec", dont_inherit=True)


class _MutantFinder(importlib.abc.MetaPathFinder):
    """Finds the mutant when its module is imported."""

    def __init__(self, mutant: dict[str, Any]) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """The spec of the mutant if its module is imported, else None."""
        del target
        if fullname != self._mutant["module"] or path is None:
            return None
        file = str(Path(path[0]) / f"{fullname.rpartition('.')[2]}.py")
        loader = _MutantLoader(fullname, file)
        loader.source = self._mutant["source"]
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


def killer_of(mutant: dict[str, Any]) -> str:
    """The name of what kills this mutant; "" if it survives.

    Call it only in a process that has not imported ``sermo_fsm``.
    """
    sys.meta_path.insert(0, _MutantFinder(mutant))
    try:
        from sermo_fsm.proof.run import run_checks  # only now, so that it is the mutant
    except Exception as error:  # noqa: BLE001 - a table that does not compile is noticed, too
        return f"{CHECK} ({type(error).__name__})"
    if not run_checks().ok:
        return CHECK
    return next((test[0] for test in mutant["tests"] if _fails(test)), "")


def _fails(test: Sequence[str]) -> bool:
    import pytest

    # Plain asserts: nobody reads the details, and rewriting has to happen before any import.
    status = pytest.main([*test, "-x", "-q", "--assert=plain", "-p", "no:cacheprovider"])
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise LookupError(f"no tests: {' '.join(test)}")
    return status != pytest.ExitCode.OK


def work() -> None:
    """Answer each line of standard input, in a fork of this process."""
    import hypothesis.stateful  # noqa: F401 - slow imports are done once
    import pytest  # noqa: F401 - slow
    import sqlalchemy.orm  # noqa: F401 - slow
    import transitions  # noqa: F401 - slow

    if any(name.startswith("sermo_fsm") for name in sys.modules):
        raise ImportError("the module is imported already: no mutant could take its place")
    for line in sys.stdin:
        print(json.dumps(_killer_in_fork(json.loads(line))), flush=True)


def _killer_in_fork(mutant: dict[str, Any]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(_TIMEOUT)
        killer = "nothing: it broke off"
        with contextlib.suppress(BaseException), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            killer = killer_of(mutant)
        os.write(writing, killer.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        killer = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return "patience" if os.WIFSIGNALED(status) else killer


if __name__ == "__main__":
    work()
