"""What belongs to no session, as the command line prints it in JSON."""

from typing import Any, Final

from sermo_fsm.core.history import ROW_KEYS, HistoryRow

__all__ = ["STRAY_KEYS", "stray_view"]

STRAY_KEYS: Final = ("id", "platformId", "userId", *ROW_KEYS, "raw")
"""The names in JSON."""


def stray_view(row: HistoryRow, *, bodies: bool = False) -> dict[str, Any]:
    """Return a row that has no session as ``sermo-fsm strays --json`` prints it.

    Args:
        row: The row.
        bodies: Include ``event`` and ``raw``, which have what people wrote; else they are None.
    """
    return {
        "id": row.id,
        "platformId": row.platform_id,
        "userId": row.user_id,
        **row.as_dict(bodies=bodies),
        "raw": row.raw if bodies else None,
    }
