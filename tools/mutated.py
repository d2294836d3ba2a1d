"""Who notices a mutant: reads mutants from ``tools/mutants.py``, a line each, and answers likewise.

This process imports nothing of ours. It is forked for each mutant, and the fork reads the changed
text where it would read the module.
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
"""Who is asked first."""

_PATIENCE: Final = 300  # seconds; a mutant may well run for ever


class _Changed(importlib.machinery.SourceFileLoader):
    """Reads one module as the mutant has it."""

    source: str

    def get_code(self, fullname: str) -> CodeType:
        """Compiled anew: what is cached is the module as it stands in the file."""
        return compile(self.source, self.get_filename(fullname), "exec", dont_inherit=True)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the mutant where its module is looked for."""

    def __init__(self, mutant: dict[str, Any]) -> None:
        self._mutant = mutant

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Likewise."""
        del target
        if fullname != self._mutant["module"] or path is None:
            return None
        file = str(Path(path[0]) / f"{fullname.rpartition('.')[2]}.py")
        loader = _Changed(fullname, file)
        loader.source = self._mutant["source"]
        return importlib.util.spec_from_file_location(fullname, file, loader=loader)


def killer_of(mutant: dict[str, Any]) -> str:
    """Who notices this one; nothing for nobody. Only in a process that imported nothing of ours."""
    sys.meta_path.insert(0, _Finder(mutant))
    try:
        from sermo_fsm.proof.run import run_checks
    except Exception as error:  # noqa: BLE001 - a table that can't be read is noticed, too
        return f"{CHECK} ({type(error).__name__})"
    if not run_checks().ok:
        return CHECK
    return next((test[0] for test in mutant["tests"] if _fails(test)), "")


def _fails(test: Sequence[str]) -> bool:
    import pytest

    # Plain asserts: nobody asks for reasons, and rewriting them wants to come before any import.
    status = pytest.main([*test, "-x", "-q", "--assert=plain", "-p", "no:cacheprovider"])
    if status == pytest.ExitCode.NO_TESTS_COLLECTED:
        raise LookupError(f"no tests: {' '.join(test)}")
    return status != pytest.ExitCode.OK


def work() -> None:
    """Read mutants, a line each, and say who noticed; each in a fork of this process."""
    import hypothesis.stateful  # noqa: F401 - what takes long is imported once
    import pytest  # noqa: F401 - likewise
    import sqlalchemy.orm  # noqa: F401 - likewise
    import transitions  # noqa: F401 - likewise

    if any(name.startswith("sermo_fsm") for name in sys.modules):
        raise ImportError("the module is imported already: no mutant could take its place")
    for line in sys.stdin:
        print(json.dumps(_in_a_fork(json.loads(line))), flush=True)


def _in_a_fork(mutant: dict[str, Any]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(_PATIENCE)
        said = "nothing: it broke off"
        with contextlib.suppress(BaseException), Path(os.devnull).open("w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            said = killer_of(mutant)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pipe.read().decode()
    _, status = os.waitpid(child, 0)
    return "patience" if os.WIFSIGNALED(status) else said


if __name__ == "__main__":
    work()
