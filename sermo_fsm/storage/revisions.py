"""The revisions of the schema that this release knows, by the names of their files."""

from pathlib import Path
from typing import Final

from sermo_fsm.errors import StoreError

__all__ = ["CREATE_TABLES", "head", "revisions", "script_location"]

CREATE_TABLES: Final = "run 'sermo-fsm db upgrade', or ChatEngine.migrate()"
"""The remedy if our tables are missing, or of an earlier release."""


def script_location() -> Path:
    """The folder of the migrations: inside the installed package, beside it in a checkout."""
    here = Path(__file__).resolve().parents[1]
    inside = here / "migrations"
    return inside if inside.is_dir() else here.parent / "migrations"


def head() -> str:
    """The revision that this release works with.

    Raises:
        StoreError: The migrations are missing.
    """
    known = revisions()
    if not known:
        raise StoreError(f"there are no migrations in {script_location().name}")
    return max(known)


def revisions() -> set[str]:
    """The revisions that this release knows: the numbers that their files begin with."""
    files = (script_location() / "versions").glob("[0-9]*_*.py")
    return {file.name.partition("_")[0] for file in files}
