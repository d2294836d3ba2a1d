"""The name of the system's time zone."""

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

__all__ = ["system_zone_name"]

_LOCALTIME: Final = Path("/etc/localtime")
"""A link to the data of the zone."""


def system_zone_name() -> str:
    """The IANA name of the system's time zone; what it adds to UTC now if the name is not known.

    An abbreviation would not do: IST is used in three zones.
    """
    try:
        where = os.environ.get("TZ")
        if where is None:
            where = str(_LOCALTIME.readlink())
        name = where.removeprefix(":").rpartition("zoneinfo/")[2]
        return ZoneInfo(name).key
    except (LookupError, ValueError, OSError):
        return datetime.now(UTC).astimezone().isoformat()[-6:]
