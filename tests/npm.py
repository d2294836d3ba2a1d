"""Programs of the npm registry, as readers of what we write: installed apart, for the tests only.

What is installed stays where SERMO_TEST_NPM says, else in the user's folder of temporary files,
so that it is fetched once.
"""

import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Final

from tests.databases import skip_without

PACKAGES: Final = {
    "mermaid": "11.17.2",
    "jsdom": "29.1.1",
    "xstate": "5.33.3",
    "axe-core": "4.14.1",
}


@cache
def _folder() -> Path | str:
    """Where the packages are, or why they are nowhere."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        return "no node and npm; apt install nodejs npm"
    names = [f"{name}@{version}" for name, version in PACKAGES.items()]
    usual = Path(tempfile.gettempdir()) / f"sermo-test-npm-{os.getuid()}-{'-'.join(names)}"
    whole = Path(os.environ.get("SERMO_TEST_NPM", usual))
    if not whole.exists():
        whole.parent.mkdir(parents=True, exist_ok=True)
        # Apart, and then there at once: several processes may do it at the same time.
        beside = Path(tempfile.mkdtemp(prefix=f"{whole.name}-", dir=whole.parent))
        (beside / "package.json").write_text('{"private": true}')
        arguments = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *names]
        done = subprocess.run(arguments, cwd=beside, capture_output=True, check=False, text=True)
        if done.returncode != 0:
            shutil.rmtree(beside, ignore_errors=True)
            why = (done.stderr.splitlines() or ["npm failed"])[0]
            return f"npm can't install {' '.join(names)} ({why}); try it by hand"
        try:
            beside.rename(whole)
        except OSError:  # another process was faster
            shutil.rmtree(beside, ignore_errors=True)
    return whole


def packages() -> Path:
    """The folder whose ``node_modules`` they are in; the test is skipped where there is none."""
    found = _folder()
    if isinstance(found, str):
        skip_without(found)
    return found


def run_node(script: str, given: str, folder: Path) -> str:
    """What an ES module prints that has our packages and is *given* its standard input."""
    (folder / "node_modules").symlink_to(packages() / "node_modules")
    program = folder / "program.mjs"
    program.write_text(script, encoding="utf-8")
    done = subprocess.run(
        ["node", program],  # noqa: S607 - whichever there is
        input=given.encode(),
        capture_output=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr.decode()[-4000:]
    return done.stdout.decode()
