"""All that is stored about one person, as a ZIP to hand over: JSON, a page to read, the pictures.

Of agents there are only ids, unless their names are asked for. Nothing that a stranger chose is the
name of a file, and the page loads nothing from anywhere. The same person gives the same bytes.
"""

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from html import escape
from types import TracebackType
from typing import IO, Any, Final, Self
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from attrs import define, field

from sermo_fsm.core.history import HistoryRow
from sermo_fsm.core.json_form import time_view
from sermo_fsm.protocol.stored_form import unescaped
from sermo_fsm.views.json_views import stray_view
from sermo_fsm.views.participants import Participant
from sermo_fsm.views.person import Person, PersonChat, Picture
from sermo_fsm.views.timeline import TimelineEntry, describe_transition, timeline_entries

__all__ = ["PersonArchive"]

_FORMAT: Final = "sermo-fsm person"
_VERSION: Final = 1

_SUFFIXES: Final = {
    "image/png": "png",
    "image/jpeg": "jpg",
    "image/gif": "gif",
    "image/webp": "webp",
    "image/avif": "avif",
    "image/bmp": "bmp",
    "image/heic": "heic",
    "image/tiff": "tif",
}
"""What a picture is called by what its sender said that it is; anything else, SVG and HTML too, is
called ``bin``, because it may be a program."""


@define
class PersonArchive:
    """A ZIP that is being written.

    Add every picture of the person, then leave the block::

        with PersonArchive(person, file) as archive:
            for picture in person.pictures:
                archive.add(picture, chats.picture(picture.key))

    Attributes:
        person: Who it is about.
        file: Where it is written, open for bytes.
        agents: Include the names of agents, not only their ids.
    """

    person: Person
    file: IO[bytes]
    agents: bool = False
    _zip: ZipFile = field(init=False)
    _names: dict[int, str] = field(init=False, factory=dict)
    _pictures: list[dict[str, Any]] = field(init=False, factory=list)

    def __enter__(self) -> Self:
        self._zip = ZipFile(self.file, "w")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: object, __: TracebackType | None
    ) -> None:
        if kind is None:
            view = json.dumps(self._view(), ensure_ascii=False, indent=2)
            self._write("person.json", view.encode("utf-8", "backslashreplace") + b"\n")
            page = "".join(self._page())
            self._write("transcript.html", page.encode("utf-8", "backslashreplace"))
        self._zip.close()

    def add(self, picture: Picture, content: bytes | None) -> None:
        """Write a picture; one whose *content* is None is gone, and only named."""
        name = None
        if content is not None:
            suffix = _SUFFIXES.get(picture.media_type or "", "bin")
            name = f"pictures/{len(self._pictures) + 1}.{suffix}"
            self._names[picture.row_id] = name
            self._write(name, content, ZIP_STORED)
        size = None if content is None else len(content)
        self._pictures.append({"file": name, "mediaType": picture.media_type, "bytes": size})

    def _write(self, name: str, content: bytes, method: int = ZIP_DEFLATED) -> None:
        entry = ZipInfo(name)  # of 1980, so that the bytes are the same
        entry.create_system, entry.external_attr = 3, 0o600 << 16
        entry.compress_type = method
        self._zip.writestr(entry, content)

    # --- JSON ------------------------------------------------------------------------------------

    def _view(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "version": _VERSION,
            "platformId": self.person.platform_id,
            "userId": self.person.user_id,
            "chats": [self._chat_view(chat) for chat in self.person.chats],
            "strays": [
                self._row_view(row, stray_view(row, bodies=True)) for row in self.person.strays
            ],
            "pictures": self._pictures,
        }

    def _chat_view(self, chat: PersonChat) -> dict[str, Any]:
        rows = [self._row_view(row, row.as_dict(bodies=True)) for row in chat.rows]
        view = chat.session.as_dict()
        if view["agent"] is not None:
            view["agent"] = self._agent(view["agent"])
        return {**view, "history": rows}

    def _row_view(self, row: HistoryRow, view: dict[str, Any]) -> dict[str, Any]:
        if view["event"] is not None:
            view["event"] = self._event(view["event"])
        if view.get("raw") is not None:
            view["raw"] = self._raw(view["raw"])
        return {**view, "picture": self._names.get(row.id or 0)}

    def _event(self, event: Mapping[str, Any]) -> dict[str, Any]:
        shown: dict[str, Any] = self._without_names(event, in_texts=False)
        return shown

    def _without_names(self, value: Any, *, in_texts: bool) -> Any:
        """*value* without the names of agents in it; *in_texts*: in a text that is JSON, too."""
        if isinstance(value, Mapping):
            return {
                name: self._agent(item)
                if name == "agent"
                else self._without_names(item, in_texts=in_texts)
                for name, item in value.items()
            }
        if isinstance(value, list):
            return [self._without_names(item, in_texts=in_texts) for item in value]
        if in_texts and isinstance(value, str) and '"agent' in unescaped(value):
            return self._raw(value)
        return value

    def _agent(self, agent: Any) -> Any:
        if self.agents:
            return agent
        ids = agent if isinstance(agent, Mapping) else {}
        return {name: item for name, item in ids.items() if name in ("id", "type")}

    def _raw(self, raw: str) -> str | None:
        """The text of an invalid event; None if it may name an agent and can't be read."""
        if self.agents or "agent" not in unescaped(raw):
            return raw
        with suppress(ValueError, RecursionError):
            value = json.loads(raw)
            if isinstance(value, dict):
                shown = self._without_names(value, in_texts=True)
                return json.dumps(shown, ensure_ascii=False)
        return None

    # --- the page --------------------------------------------------------------------------------

    def _page(self) -> Iterator[str]:
        user, platform = escape(self.person.user_id), escape(self.person.platform_id)
        yield _HEAD.format(title=f"{user} on {platform}", policy=_POLICY, style=_STYLE)
        yield f"<h1>{user} on {platform}</h1>\n"
        yield "<p>All that is stored. Times are in UTC; person.json has every detail.</p>\n"
        for chat in self.person.chats:
            opened, closed = (
                time_view(moment) for moment in (chat.session.opened_at, chat.session.closed_at)
            )
            yield f"<h2>Chat {chat.session.ordinal}</h2>\n<p>{opened} – {closed or 'now'}</p>\n"
            yield "<table>\n"
            entries = timeline_entries(chat.session, chat.rows, bodies=True)
            for row, entry in zip(chat.rows, entries, strict=True):
                yield self._line(row, entry)
            yield "</table>\n"
        if self.person.strays:
            yield "<h2>Not part of a chat</h2>\n<table>\n"
            for row in self.person.strays:
                said = row.raw and self._raw(row.raw)
                text = (
                    said
                    if row.event is None
                    else json.dumps(self._event(row.event), ensure_ascii=False)
                )
                yield _ROW.format(
                    time=time_view(row.effective_at),
                    who=escape(row.direction or ""),
                    what=escape(row.type or row.outcome),
                    said=self._said(row, text),
                )
            yield "</table>\n"
        yield "</body>\n</html>\n"

    def _line(self, row: HistoryRow, entry: TimelineEntry) -> str:
        what = entry.summary + (f" ({describe_transition(entry)})" if entry.moved else "")
        return _ROW.format(
            time=time_view(entry.at),
            who=escape(self._who(entry.actor)),
            what=escape(what),
            said=self._said(row, entry.body),
        )

    def _who(self, actor: Participant) -> str:
        named = self.agents and actor.name
        return f"{actor.name} ({actor})" if named else str(actor)

    def _said(self, row: HistoryRow, text: str | None) -> str:
        parts = [] if text is None else [f'<div dir="auto">{escape(text)}</div>']
        name = self._names.get(row.id or 0)
        if name is not None:
            shown = f'<img src="{name}" alt="{name}">'
            parts.append(name if name.endswith(".bin") else shown)
        return "".join(parts)


_STYLE: Final = (
    "body{font-family:sans-serif;max-width:60em;margin:auto}"
    "td{vertical-align:top;padding:.2em .6em;overflow-wrap:anywhere}"
    "div{white-space:pre-wrap}img{max-width:20em}"
)
_STYLE_DIGEST: Final = b64encode(sha256(_STYLE.encode()).digest()).decode()
_POLICY: Final = f"default-src 'none'; img-src 'self' file:; style-src 'sha256-{_STYLE_DIGEST}'"
_HEAD: Final = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
"""
_ROW: Final = "<tr><td>{time}</td><td>{who}</td><td>{what}</td><td>{said}</td></tr>\n"
