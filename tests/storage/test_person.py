"""Handing over: all that is stored about one person, and nothing about anybody else."""

import io
import json
import re
import zipfile
from html.parser import HTMLParser
from typing import Any

import pytest
import sqlalchemy as sa

from sermo_fsm import ChatEngine, Envelope, InvalidArgument, Person
from sermo_fsm.export.person import PersonArchive
from sermo_fsm.storage.schema import tables
from tests.doors import each_signature, open_door
from tests.storage.test_sealing import IMAGE, PNG, SEALED
from tests.support import ANDERS, BEATA, START, at, event, text

SCRIPT = "data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg=="
EVIL = '<script src="https://x.se/a.js">&"\''
OTHERS = ("bo-secret", "Anders Andersson", "Beata Berg", "https://x.se/beata.png")


def fill(chats: ChatEngine) -> None:
    """Chats of Anna and of Bo, and strays of both, in every way in which they can be told."""
    beata = {**BEATA, "avatarUrl": OTHERS[3]}
    batch: list[Any] = [
        Envelope("inbound", text(f"Hej {EVIL}"), received_at=at(0), message_id="m-1"),
        Envelope("inbound", text("bild", image=IMAGE), received_at=at(1)),
        Envelope("inbound", text("bild", image=SCRIPT), received_at=at(2)),
        Envelope("outbound", text("Hej Anna", agent=ANDERS), received_at=at(3)),
        Envelope("outbound", text("Hej igen", agent=beata), received_at=at(4)),
        Envelope("inbound", event("client_left"), received_at=at(5)),
        Envelope("inbound", text("bo-secret", "bo", image=IMAGE), received_at=at(6)),
        Envelope("inbound", text("åter", image=IMAGE), received_at=at(100_000)),
        # strays
        Envelope("outbound", event("info", text="före", platformId="app"), received_at=START),
        Envelope("inbound", {"type": "news", "userId": "anna", "text": "nytt"}, received_at=START),
        Envelope("inbound", {"type": "news", "userId": "bo", "text": "bo-secret"}),
        Envelope("inbound", {"type": "text", "userId": "anna", "text": 5}, received_at=START),
        Envelope("inbound", '{"type": "text", "userId": "\\u0061nna", "x": "trasig'),
        Envelope(
            "outbound",
            json.dumps({"type": "text", "userId": "anna", "agent": {**ANDERS, "id": 5}}),
            received_at=START,
        ),
        Envelope("outbound", '{"type": "text", "userId": "anna", "agent": {"name": "Beata Berg"'),
        Envelope("inbound", {"type": "text", "userId": "bo", "text": ["anna", "bo-secret"]}),
        Envelope("inbound", '{"type": 5, "userId": "anna", "platformId": "app", "x": "bo-secret"}'),
        Envelope("inbound", "bo-secret anna"),
        json.dumps({"direction": "x", "event": {"userId": "anna", "agent": ANDERS}}),
        Envelope("inbound", json.dumps([{"userId": "anna", "agent": ANDERS}])),
    ]  # fmt: skip
    chats.handle_many(batch)


@pytest.fixture
def filled(chats: ChatEngine) -> ChatEngine:
    fill(chats)
    return chats


def person_of(chats: ChatEngine, user: str = "anna", platform: str = "web") -> Person:
    found = chats.person(platform, user)
    assert found is not None
    return found


def packed(chats: ChatEngine, person: Person, **options: bool) -> bytes:
    file = io.BytesIO()
    with PersonArchive(person, file, **options) as archive:
        for picture in person.pictures:
            archive.add(picture, chats.picture(picture.key))
    return file.getvalue()


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name) for name in archive.namelist()}


def test_all_of_a_person_is_there_and_nobody_else(filled: ChatEngine) -> None:
    person = person_of(filled)
    assert (person.platform_id, person.user_id) == ("web", "anna")
    for chat in person.chats:
        assert list(filled.history(chat.session.session_id)) == list(chat.rows)
    asked = [one for one in filled.sessions(user="anna") if one.platform_id == "web"]
    assert [chat.session for chat in person.chats] == asked[::-1]
    assert [len(chat.rows) for chat in person.chats] == [6, 1]
    strays = [row.raw or (row.event or {}).get("text") for row in person.strays]
    assert len(strays) == 7
    assert strays[0] == "nytt"
    assert "bo-secret" not in repr([row.as_dict(bodies=True) for row in person.strays])
    assert [filled.picture(one.key) for one in person.pictures] == [
        PNG, b"<script>alert(1)</script>", PNG,
    ]  # fmt: skip
    types = [one.media_type for one in person.pictures]
    assert types == ["image/png", "text/html", "image/png"]


def test_somebody_of_whom_there_are_only_strays(filled: ChatEngine) -> None:
    person = person_of(filled, platform="app")
    assert person.chats == ()
    assert len(person.strays) == 9  # those that name no platform may be of any
    assert person.strays[0].event == event("info", text="före", platformId="app")


def test_nobody(chats: ChatEngine) -> None:
    assert chats.person("web", "anna") is None
    assert chats.picture("0" * 64) is None


@each_signature
@pytest.mark.parametrize("given", [("", "anna"), ("web", ""), ("web", "x" * 256), ("web", 5)])
def test_ids_have_to_be_some(chats: ChatEngine, given: Any) -> None:
    with pytest.raises(InvalidArgument):
        chats.person(*given)
    with pytest.raises(InvalidArgument):
        chats.picture(given[0] if given[0] != "web" else given[1])


def test_the_archive(filled: ChatEngine) -> None:
    person = person_of(filled)
    content = packed(filled, person)
    files = unpacked(content)
    assert list(files) == [
        *("pictures/1.png", "pictures/2.bin", "pictures/3.png"),
        *("person.json", "transcript.html"),
    ]
    assert files["pictures/1.png"] == files["pictures/3.png"] == PNG
    view = json.loads(files["person.json"])
    assert list(view) == [
        *("format", "version", "platformId", "userId", "chats", "strays", "pictures"),
    ]
    assert (view["format"], view["version"]) == ("sermo-fsm person", 1)
    rows = [row for chat in view["chats"] for row in chat["history"]]
    assert [row["picture"] for row in rows] == [
        *(None, "pictures/1.png", "pictures/2.bin", None, None, None, "pictures/3.png"),
    ]
    assert rows[0]["event"]["text"] == f"Hej {EVIL}"
    assert [row["event"].get("agent") for row in rows[3:5]] == [
        {"id": "anan01", "type": "human"}, {"id": "bebe02", "type": "human"},
    ]  # fmt: skip
    assert view["chats"][0]["agent"] is None or "name" not in view["chats"][0]["agent"]
    assert view["pictures"][0] == {
        "file": "pictures/1.png", "mediaType": "image/png", "bytes": len(PNG),
    }  # fmt: skip
    raws = [one["raw"] for one in view["strays"]]
    assert sum(raw is None for raw in raws) == 3  # one is an event, two may name an agent
    assert json.loads(raws[-2])["event"] == {
        "userId": "anna",
        "agent": {"id": "anan01", "type": "human"},
    }
    everything = b"".join(files.values()).decode("utf-8", "replace")
    assert not [one for one in OTHERS if one in everything]


def test_names_of_agents_if_asked_for(filled: ChatEngine) -> None:
    files = unpacked(packed(filled, person_of(filled), agents=True))
    for name in ("person.json", "transcript.html"):
        whole = files[name].decode()
        assert "Anders Andersson" in whole
        assert "Beata Berg" in whole
        assert "bo-secret" not in whole


def test_the_same_person_gives_the_same_bytes(filled: ChatEngine) -> None:
    one, other = (packed(filled, person_of(filled)) for _ in range(2))
    assert one == other
    with zipfile.ZipFile(io.BytesIO(one)) as archive:
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


class Page(HTMLParser):
    """What a browser would make of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_loads_nothing_and_runs_nothing(filled: ChatEngine) -> None:
    page = Page()
    html = unpacked(packed(filled, person_of(filled)))["transcript.html"].decode()
    page.feed(html)
    kinds = {tag for tag, _ in page.tags}
    assert kinds <= {
        *("html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "table", "tr", "td"),
        *("div", "img"),
    }
    assert not [name for _, given in page.tags for name in given if name.startswith("on")]
    sources = [given["src"] for tag, given in page.tags if tag == "img"]
    assert sources == ["pictures/1.png", "pictures/3.png"]
    (policy,) = [
        given["content"]
        for tag, given in page.tags
        if tag == "meta" and given.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    assert f"Hej {EVIL}" in page.text
    for words in ("Hej Anna", "anan01", "customer", "leaves the chat", "åter", "nytt", "trasig"):
        assert words in page.text
    assert not re.search(r"https?://(?!x\.se/a\.js)", html)


def test_an_odd_user_is_escaped_in_the_page(chats: ChatEngine) -> None:
    odd = "<img src=x onerror=alert(1)>{}"
    chats.handle("inbound", text("hej", odd))
    page = Page()
    html = unpacked(packed(chats, person_of(chats, odd)))["transcript.html"].decode()
    page.feed(html)
    assert "img" not in {tag for tag, _ in page.tags}
    assert odd in page.text


ODD = 'å"\\n/'
QUOTED = json.dumps({"userId": ODD})


@pytest.mark.parametrize(
    ("raw", "whose"),
    [
        (QUOTED, ODD),
        (json.dumps({"userId": ODD}, ensure_ascii=False), ODD),
        (QUOTED[:-1], ODD),  # broken
        (json.dumps(QUOTED)[:-1], ODD),
        ('{"userId": "\\x", "userId": "n", "platformId": "web"', "n"),
        (json.dumps(QUOTED), ODD),  # JSON in JSON
        (json.dumps([{"userId": ODD}, 5]), ODD),
        (json.dumps({"event": QUOTED, "platformId": "web"}), ODD),
        (json.dumps({"event": QUOTED, "platformId": "app"}), None),
        (json.dumps({"userId": ODD, "platformId": "app"}), None),
        (f'{{"platformId": "app", {QUOTED[1:-1]}', None),
        (json.dumps({"type": 5, "text": f"{QUOTED} is somebody else"}), None),
        (ODD, None),
    ],
)
def test_a_stray_is_of_whom_its_event_names(chats: ChatEngine, raw: str, whose: str | None) -> None:
    (row,) = chats.handle("inbound", raw).rows
    assert row.outcome == "invalid"
    for user in (ODD, "å", "n"):
        found = chats.person("web", user)
        assert (found is not None) is (user == whose)


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps([{"userId": "anna", "text": "här"}, {"userId": "bo", "text": "bo-secret"}]),
        '{"userId": "anna", "text": "här"}\n{"userId": "bo", "text": "bo-secret"}',
        json.dumps({"event": '{"userId": "anna"}', "x": '{"userId": "bo", "text": "bo-secret"}'}),
        {"type": "news", "userId": "", "event": {"userId": "anna"}, "x": {"userId": "bo-secret"}},
        json.dumps({"event": json.dumps({"userId": "anna", "agent": ANDERS})}),
        json.dumps({"userId": "anna", "x": '{"agent": {"name": "Anders Andersson"'}),
        json.dumps({"userId": "anna", "x": [{"agent": ANDERS}]}),
        {"type": "news", "userId": "anna", "x": [{"agent": ANDERS}]},
        json.dumps({"type": 5, "userId": "anna", "agent": ANDERS}).encode("utf-16"),
    ],
    ids=str,
)
def test_of_nobody_else_is_anything_said(chats: ChatEngine, raw: Any) -> None:
    chats.handle("outbound", raw, received_at=START)
    person = person_of(chats)
    assert len(person.strays) == 1
    for content in unpacked(packed(chats, person)).values():
        assert not [word for word in OTHERS if word in content.decode()]


def test_what_a_broken_event_says_is_there_as_it_was_said(chats: ChatEngine) -> None:
    said = 'Kan en agent svara? {"x": 5}'
    raw = json.dumps({"type": 5, "userId": "anna", "text": said, "agent": BEATA})
    chats.handle("outbound", raw, received_at=START)
    (stray,) = json.loads(unpacked(packed(chats, person_of(chats)))["person.json"])["strays"]
    assert json.loads(stray["raw"])["text"] == said


def test_what_is_sealed_is_handed_over_in_clear(door: str, door_url: sa.URL) -> None:
    with open_door(door, door_url, **SEALED) as chats:
        fill(chats)
        files = unpacked(packed(chats, person_of(chats)))
    assert files["pictures/1.png"] == PNG
    assert "Hej Anna" in files["transcript.html"].decode()
    with open_door(door, door_url) as chats:  # without the key
        person = person_of(chats)
        assert [chats.picture(one.key) for one in person.pictures] == [None] * 3
        files = unpacked(packed(chats, person))
    assert list(files) == ["person.json", "transcript.html"]
    gone = {"file": None, "mediaType": "image/png", "bytes": None}
    assert json.loads(files["person.json"])["pictures"][0] == gone
    assert "[erased]" in files["transcript.html"].decode()


def test_a_session_without_rows_is_there_all_the_same(
    chats: ChatEngine, database: sa.Engine
) -> None:
    chats.handle("inbound", text("hej"))
    ours = tables()
    with database.begin() as connection:
        connection.execute(sa.delete(ours.body))
        connection.execute(sa.delete(ours.history))
    (chat,) = person_of(chats).chats
    assert chat.rows == ()


def test_a_block_that_fails_is_no_whole_archive(filled: ChatEngine) -> None:
    file = io.BytesIO()
    with pytest.raises(KeyError), PersonArchive(person_of(filled), file):
        raise KeyError
    assert unpacked(file.getvalue()) == {}
