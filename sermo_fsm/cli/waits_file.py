"""The file with a picture of waiting times: its name, and what is drawn."""

from contextlib import suppress
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Self

import click
from attrs import frozen

from sermo_fsm.cli.atomic_file import atomic_write
from sermo_fsm.cli.times import zone_named
from sermo_fsm.picture.formats.palette import Theme
from sermo_fsm.picture.waits import CHART_FORMATS, SPANS, waits_chart
from sermo_fsm.views.figures import Figures, Grouping

__all__ = ["WaitsFile"]


@frozen
class WaitsFile:
    """The picture to draw instead of printing figures.

    Attributes:
        by: The span of each bar.
    """

    path: Path
    by: Grouping
    theme: str

    @classmethod
    def wanted(cls, path: Path | None, by: str | None, theme: str | None) -> Self | None:
        """The picture that is asked for; None for none.

        Raises:
            click.UsageError: It can't be drawn.
        """
        if path is None:
            if theme is not None:
                raise click.UsageError("--theme needs -o")
            return None
        if path.suffix[1:].lower() not in CHART_FORMATS:
            wanted = " or ".join(f".{one}" for one in CHART_FORMATS)
            raise click.UsageError(f"-o wants a file name that ends in {wanted}, got {path}")
        grouping = Grouping(by or Grouping.HOUR)
        if grouping not in SPANS:
            raise click.UsageError(f"-o draws by {' or '.join(SPANS)}, not by {grouping}")
        return cls(path, grouping, theme or Theme.LIGHT)

    def write(self, found: Figures, zone: tzinfo | None, platform: str | None) -> None:
        """Draw *found* and write the file."""
        if zone is None:
            with suppress(ValueError):
                zone = zone_named(found.zone)
        zone = zone or datetime.now(UTC).astimezone().tzinfo or UTC
        try:
            content = waits_chart(
                found,
                self.by,
                zone,
                platform,
                format=self.path.suffix[1:].lower(),
                theme=self.theme,
            )
        except ImportError as error:
            raise click.UsageError(str(error)) from error
        with atomic_write(self.path) as file:
            file.write(content)
