"""Pages as HTML. Everything that is filled into a template is escaped: ids come from strangers."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from sermo_fsm.board.curve import curve
from sermo_fsm.board.display import Display
from sermo_fsm.board.poller import LISTED, Sight
from sermo_fsm.board.settings import Settings
from sermo_fsm.board.words import Words
from sermo_fsm.core.machine import State
from sermo_fsm.views.overview import Overview, PlatformHour

__all__ = ["STATIC", "Pages"]

_HERE: Final = Path(__file__).parent
STATIC: Final = _HERE / "static"

_NAVIGATION: Final = (
    ("wall", "", "Wall"),
    ("waiting", "waiting", "Waiting"),
    ("search", "search", "Search"),
    ("figures", "figures", "Figures"),
    ("machine", "machine", "Machine"),
)
"""The pages that are in the menu: template, path, title."""
_LIVE_STATES: Final = tuple(state for state in State if state is not State.CLOSED)


def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


@define(eq=False)
class Pages:
    """Renders the templates of a board.

    Attributes:
        settings: What is shown.
    """

    settings: Settings
    _templates: Environment = field(factory=_environment, init=False)

    def display(self, words: Words, now: datetime | None = None) -> Display:
        """How things are shown in this language, as of *now*."""
        settings = self.settings
        return Display(words, settings.zone, settings.user, now or datetime.now(UTC))

    def page(self, name: str, display: Display, **context: Any) -> str:
        """A whole page."""
        return self._render(f"{name}.html", display, page=name, menu=_NAVIGATION, **context)

    def part(self, name: str, display: Display, **context: Any) -> Markup:
        """The part of a page that changes while it is watched."""
        return Markup(self._render(f"parts/{name}.html", display, **context))  # noqa: S704 - is HTML

    def _render(self, template: str, display: Display, **context: Any) -> str:
        return self._templates.get_template(template).render(
            _=display.words, d=display, settings=self.settings, **context
        )

    def status(self, sight: Sight, display: Display) -> dict[str, Any]:
        """How old a page is, for its frame and for the script."""
        overview = sight.overview
        words = "Live" if not sight.stale else _STALE
        at = "–" if overview is None else f"{overview.at.astimezone(self.settings.zone):%H:%M:%S}"
        return {"clock": at, "verdict": display.words(words), "stale": sight.stale}

    def wall(self, overview: Overview) -> dict[str, Any]:
        """What the wall shows."""
        hour = overview.hour
        in_hour = {} if hour is None else hour.platforms
        platforms = sorted({*overview.platforms, *(name for name in in_hour if name is not None)})
        return {
            "overview": overview,
            "platforms": [
                (name, overview.platforms.get(name), in_hour.get(name, PlatformHour()))
                for name in platforms
            ],
            "nameless": in_hour.get(None),
            "live_states": _LIVE_STATES,
            "queued": State.QUEUED,
            "slow": timedelta(minutes=2),
            "curve": None if overview.day is None else curve(overview.day),
        }

    def waiting(self, overview: Overview) -> dict[str, Any]:
        """What the waiting list shows."""
        return {
            "overview": overview,
            "chats": overview.waiting or (),
            "most": LISTED,
            "target": overview.target,
        }


_STALE: Final = "STALE: the database does not answer. What you see is old."
