"""Histories for process mining, read back by a process miner: what is in them, and what is not."""

import gzip
import json
import re
import xml.etree.ElementTree as ET
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import r4pm
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from r4pm import bindings

from sermo_fsm import ChatEngine, ChatSession, State
from sermo_fsm.analysis.histories import SessionRow
from sermo_fsm.cli import main
from sermo_fsm.cli.commands.export import history as export_history
from sermo_fsm.core.session import session_id_of
from sermo_fsm.export.event_log import customer_id
from sermo_fsm.export.ocel import write_ocel
from sermo_fsm.export.pseudonyms import Pseudonyms
from sermo_fsm.export.xes import write_xes
from sermo_fsm.storage.schema import tables
from tests.command.test_cli_support import sermo, traffic, url_of
from tests.command.test_cli_terminal import Terminal
from tests.support import ANDERS, START, USER, at, envelope, event, text
from tests.unit.test_timeline import LATER, WHOLE

PSEUDONYMS = Pseudonyms(bytes(range(32)))
SECRETS = ("hemligt", "Anders Andersson", "Beata Berg", "kön", "sol", "faktura")


@cache
def stories() -> tuple[SessionRow, ...]:
    """A chat with all that there is, and two of another customer, the second one resumed."""
    other = [
        envelope("inbound", text("hemligt", "bo"), 5),
        envelope("inbound", text("igen", "bo"), 1900),
        envelope("inbound", event("client_left", "bo"), 1910),
        envelope("inbound", text("sist", "bo"), 4000),
    ]
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        assert not [one for one in engine.handle_many([*WHOLE, *other]) if one.error]
        return tuple(engine.stories())


def sessions_told() -> list[ChatSession]:
    """The chats, as the log calls them."""
    return [PSEUDONYMS.of(one) for one in dict.fromkeys(session for session, _ in stories())]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """The file of a key."""
    path = tmp_path / "pseudonyms.key"
    path.write_text("k" * 32 + "\n", encoding="utf-8")
    path.chmod(0o600)
    return path


@pytest.fixture
def db(tmp_path: Path) -> str:
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle_many([*WHOLE, envelope("inbound", text("hemligt", "bo"), 5)])
    return url


# --- XES ------------------------------------------------------------------------------------------

Element = dict[str, Any]


def value_of(element: ET.Element) -> Any:
    kind, value = element.tag.rpartition("}")[2], element.get("value", "")
    return datetime.fromisoformat(value) if kind == "date" else (kind, value)


def attributes(element: ET.Element) -> Element:
    return {one.get("key", ""): value_of(one) for one in element if one.get("key")}


def traces(path: Path) -> list[tuple[Element, list[Element]]]:
    """What a file of XES holds."""
    space = "{http://www.xes-standard.org/}"
    return [
        (attributes(trace), [attributes(one) for one in trace.iter(f"{space}event")])
        for trace in ET.parse(path).getroot().iter(f"{space}trace")  # noqa: S314 - we wrote it
    ]


def read_xes(path: Path) -> list[tuple[Element, list[Element]]]:
    """What a process miner makes of it, written down again by it."""
    log = r4pm.import_item("EventLog", str(path))
    back = path.with_name("back.xes")
    r4pm.export_item(log, str(back))
    r4pm.remove_item(log)
    return traces(back)


def spaced(found: object) -> str:
    """Without a difference that the miner's own writer makes: between a tab, a line and a space."""
    return re.sub(r"(?:\\[trn]| )+", " ", repr(found))


def xes_of(path: Path, told: Any, **options: Any) -> list[tuple[Element, list[Element]]]:
    with path.open("w", encoding="utf-8") as file:
        write_xes(told, file.write, **options)
    found = traces(path)
    assert spaced(read_xes(path)) == spaced(found)
    return found


def test_a_process_miner_reads_every_row_of_every_chat(tmp_path: Path) -> None:
    found = xes_of(tmp_path / "chats.xes", stories())
    rows = [row for _, row in stories()]
    events = [one for _, some in found for one in some]
    assert len(found) == 4
    assert [one["concept:name"] for one in events] == [("string", row.trigger) for row in rows]
    assert [one["time:timestamp"] for one in events] == [row.effective_at for row in rows]
    assert {one["lifecycle:transition"] for one in events} == {("string", "complete")}
    assert [one["seq"] for one in events] == [("int", str(row.seq)) for row in rows]
    for key, name in (("from", "from"), ("to", "to"), ("outcome", "outcome"), ("type", "type")):
        given = [one.get(key, (None, None))[1] for one in events]
        assert given == [row.as_dict()[name] for row in rows]
    assert [one.get("receivedAt") for one in events] == [row.received_at for row in rows]


def test_a_trace_says_which_chat_it_is_and_not_whose(tmp_path: Path) -> None:
    told = xes_of(tmp_path / "chats.xes", stories(), pseudonyms=PSEUDONYMS)
    (first, _), (second, _), (resumed, _), _ = told
    sessions = sessions_told()
    assert first["concept:name"] == ("string", sessions[0].session_id)
    assert first["customer"] == ("string", customer_id(sessions[0]))
    assert first["closedAt"] == sessions[0].closed_at
    assert first["closeReason"] == ("string", "agent_done")
    assert resumed["previous"] == second["concept:name"]
    assert resumed["customer"] == second["customer"] != first["customer"]
    assert (second["resumed"], resumed["resumed"]) == (("boolean", "false"), ("boolean", "true"))
    assert "user" not in first


def test_who_did_it_is_an_id_of_an_agent_or_a_role(tmp_path: Path) -> None:
    (_, events), *_ = xes_of(tmp_path / "chats.xes", stories())
    who = [(one.get("org:resource", ("", None))[1], one["org:role"][1]) for one in events]
    assert who[:3] == [("customer", "customer"), ("customer", "customer"), ("bot", "bot")]
    assert who[6] == ("anan01", "agent")
    assert ("platform", "platform") in who


def test_a_late_text_of_an_agent_has_no_resource(tmp_path: Path) -> None:
    session, row = stories()[6]
    late = replace(row, agent_id=None)
    ((_, (found,)),) = xes_of(tmp_path / "chats.xes", [(session, late)])
    assert found["org:role"] == ("string", "agent")
    assert "org:resource" not in found


def test_what_the_head_of_the_log_promises_holds_of_all_that_follows(tmp_path: Path) -> None:
    """IEEE 1849: global attributes are everywhere, classifiers go by those, prefixes are told."""
    path = tmp_path / "chats.xes"
    found = xes_of(path, stories())
    log = ET.parse(path).getroot()  # noqa: S314 - we wrote it
    space = "{http://www.xes-standard.org/}"
    of = {one.get("scope"): attributes(one) for one in log.iter(f"{space}global")}
    events = [one for _, some in found for one in some]
    for promised, things in ((of["trace"], [trace for trace, _ in found]), (of["event"], events)):
        for thing in things:
            assert promised.keys() <= thing.keys()
            assert all(type(thing[key]) is type(value) for key, value in promised.items())
    for one in log.iter(f"{space}classifier"):
        assert one.get("keys") in of[one.get("scope")]
    extensions = {one.get("prefix"): one.get("uri") for one in log.iter(f"{space}extension")}
    keys = {key for thing in [attributes(log), *of.values(), *events] for key in thing}
    assert {key.partition(":")[0] for key in keys if ":" in key} == extensions.keys()
    for prefix, uri in extensions.items():
        assert uri == f"http://www.xes-standard.org/{prefix}.xesext"
    order = [one.tag.rpartition("}")[2] for one in log]
    kinds = ["extension", "global", "classifier", "string", "trace"]
    assert order == sorted(order, key=kinds.index)


def test_it_discovers_a_model(tmp_path: Path) -> None:
    path = tmp_path / "chats.xes"
    with path.open("w", encoding="utf-8") as file:
        write_xes(stories(), file.write)
    log = r4pm.import_item("EventLog", str(path))
    graph = bindings.discover_dfg(log)
    assert graph["activities"]["agent_text"] == 3
    follows = {tuple(pair): count for pair, count in graph["directly_follows_relations"]}
    assert follows["heartbeat", "customer_text"] == 1


# --- OCEL -----------------------------------------------------------------------------------------


def ocel_of(path: Path, told: Any, **options: Any) -> dict[str, Any]:
    with path.open("w", encoding="utf-8") as file:
        write_ocel(told, file.write, **options)
    written = json.loads(path.read_text("utf-8"))
    log = r4pm.import_item("OCEL", str(path))
    back = path.with_name("back.json")
    r4pm.export_item(log, str(back))
    read = json.loads(back.read_text("utf-8"))
    linked = bindings.slim_link_ocel(ocel=log)
    assert bindings.num_events(ocel=linked) == len(written["events"])
    assert bindings.num_objects(ocel=linked) == len(written["objects"])
    r4pm.remove_item(log)
    r4pm.remove_item(linked)
    assert same(read) == same(written)
    return dict(written)


def same(log: dict[str, Any]) -> Any:
    """Without what may differ: times in another form, the order of things, values as text."""

    def attribute(one: dict[str, Any]) -> tuple[str, str, Any]:
        value = str(one["value"])
        if one["name"].endswith("At"):
            value = str(datetime.fromisoformat(value))
        return one["name"], value, one.get("time") and datetime.fromisoformat(one["time"])

    def thing(one: dict[str, Any]) -> Any:
        told = sorted(attribute(some) for some in one["attributes"])
        related = sorted((to["objectId"], to["qualifier"]) for to in one.get("relationships", ()))
        time = one.get("time") and datetime.fromisoformat(one["time"])
        return one["id"], one["type"], time, told, related

    types = [
        {t["name"]: sorted(a["name"] for a in t["attributes"]) for t in log[kind]}
        for kind in ("eventTypes", "objectTypes")
    ]
    return types, sorted(map(thing, log["events"])), sorted(map(thing, log["objects"]))


def whole(log: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The objects by id: each is there once, of a type that is declared, and none is missing."""
    objects = {one["id"]: one for one in log["objects"]}
    assert len(objects) == len(log["objects"])
    assert len({one["id"] for one in log["events"]}) == len(log["events"])
    for kind, types in (("events", "eventTypes"), ("objects", "objectTypes")):
        declared = {one["name"]: {a["name"] for a in one["attributes"]} for one in log[types]}
        for one in log[kind]:
            assert {some["name"] for some in one["attributes"]} <= declared[one["type"]]
            for related in one["relationships"]:
                assert related["objectId"] in objects
    return objects


def test_a_process_miner_reads_every_event_and_every_object(tmp_path: Path) -> None:
    log = ocel_of(tmp_path / "chats.json", stories())
    assert len(log["events"]) == len(stories())
    objects = whole(log)
    kinds = sorted(one["type"] for one in objects.values())
    assert kinds == ["agent"] * 2 + ["chat"] * 4 + ["customer"] * 2 + ["platform"]


def related(one: dict[str, Any]) -> dict[str, str]:
    return {to["qualifier"]: to["objectId"] for to in one["relationships"]}


def test_events_are_about_their_chat_and_by_somebody(tmp_path: Path) -> None:
    log = ocel_of(tmp_path / "chats.json", stories(), pseudonyms=PSEUDONYMS)
    first, *_ = sessions_told()
    chat, customer = f"chat:{first.session_id}", f"customer:{customer_id(first)}"
    assert related(log["events"][0]) == {"of": chat, "by": customer, "on": "platform:web"}
    assert related(log["events"][2]) == {"of": chat}  # the bot is a role, and no object
    assert related(log["events"][6]) == {"of": chat, "by": "agent:anan01"}
    in_charge = {"of": chat, "by": customer, "in charge": "agent:anan01"}
    assert related(log["events"][7]) == in_charge


def test_a_chat_tells_its_states_and_comes_after_another(tmp_path: Path) -> None:
    objects = whole(ocel_of(tmp_path / "chats.json", stories(), pseudonyms=PSEUDONYMS))
    sessions = sessions_told()
    chats = [objects[f"chat:{one.session_id}"] for one in sessions]
    states = [one["value"] for one in chats[0]["attributes"] if one["name"] == "state"]
    assert states == [
        *("open", "bot", "queued", "with_agent", "queued"),
        *("bot", "with_agent", "bot", "with_agent", "closed"),
    ]
    bo = f"customer:{customer_id(sessions[1])}"
    assert related(chats[1]) == {"of": bo, "on": "platform:web"}
    assert related(chats[2]) == {"of": bo, "on": "platform:web", "resumes": chats[1]["id"]}
    assert related(chats[3]) == {"of": bo, "on": "platform:web", "after": chats[2]["id"]}


def test_of_a_part_nothing_points_to_what_is_not_there(tmp_path: Path) -> None:
    earlier = list(dict.fromkeys(session for session, _ in stories()))[:2]
    later = [one for one in stories() if one[0] not in earlier]
    sessions = sessions_told()
    path = tmp_path / "chats.json"
    objects = whole(ocel_of(path, later, partial=True, pseudonyms=PSEUDONYMS))
    first, second = (objects[f"chat:{one.session_id}"] for one in sessions[2:])
    assert "resumes" not in related(first)
    assert related(second)["after"] == first["id"]
    assert related(first)["of"] == related(second)["of"] == f"customer:{customer_id(sessions[1])}"
    everything = [*stories()]
    assert whole(ocel_of(tmp_path / "all.json", everything, partial=True))


def test_a_chat_that_opened_before_the_one_it_comes_after_is_in_a_whole_log(tmp_path: Path) -> None:
    """Earlier releases let a chat close before it opened, and the next one open in between."""
    url = url_of(tmp_path / "chats.db")
    with ChatEngine(url) as engine:
        engine.migrate()
        engine.handle("outbound", text(agent=ANDERS), received_at=at(10))
        engine.handle("inbound", event("client_left"), received_at=at(11))
        engine.handle("inbound", text(), received_at=at(12))
        session = tables().session
        earlier = session.update().where(session.c.ordinal == 2).values(opened_at=at(7))
        with engine._engine.begin() as connection:
            connection.execute(earlier)
        told = [*engine.stories()]
    assert [session.opened_at for session in dict.fromkeys(one for one, _ in told)] == [
        at(10),
        at(7),
    ]
    for some in (told, told[::-1]):
        assert len(whole(ocel_of(tmp_path / "chats.json", some, partial=True))) == 5
    path = tmp_path / "early.json"
    options = ("--format", "ocel", "-o", path, "--until", at(8).isoformat(), "--db", url)
    assert sermo("export", "history", *options).exit_code == 0
    assert len(whole(json.loads(path.read_text("utf-8")))) == 3


# --- what both hold to ----------------------------------------------------------------------------


@pytest.mark.parametrize("write", [write_xes, write_ocel])
def test_nothing_of_what_people_wrote_or_are_called_is_in_it(write: Any) -> None:
    parts: list[str] = []
    write(stories(), parts.append)
    for secret in (*SECRETS, f'"{USER}"', '"bo"'):
        assert secret not in "".join(parts)
    write(stories(), parts.append, users=True)
    assert f'"{USER}"' in "".join(parts)
    assert "hemligt" not in "".join(parts)


def ids_of(told: Any) -> set[str]:
    """The ids of users, sessions and messages, and what can be computed from a user's."""
    users = {(session.platform_id, session.user_id) for session, _ in told}
    computed = {session_id_of(*user, ordinal) for user in users for ordinal in range(1, 9)}
    messages = {row.message_id for _, row in told if row.message_id}
    return {*computed, *(f'"{user}"' for _, user in users), *messages}


def written_by(write: Any, told: Any, **options: Any) -> str:
    parts: list[str] = []
    write(told, parts.append, **options)
    return "".join(parts)


@pytest.mark.parametrize("write", [write_xes, write_ocel])
def test_no_id_leads_from_it_to_a_person(write: Any) -> None:
    told = [(session, replace(row, message_id=f"m-{row.id}")) for session, row in stories()]
    ids = ids_of(told)
    assert len(ids) > 20
    for options in ({}, {"pseudonyms": PSEUDONYMS}):
        whole_text = written_by(write, told, **options)
        assert not [one for one in ids if one in whole_text]
    known = written_by(write, told, users=True)
    assert {one for _, row in told if (one := row.message_id) and one not in known} == set()


@pytest.mark.parametrize("write", [write_xes, write_ocel])
def test_a_key_gives_the_same_person_the_same_pseudonym_and_none_another(write: Any) -> None:
    under_key = written_by(write, stories(), pseudonyms=PSEUDONYMS)
    again = Pseudonyms(PSEUDONYMS.key)
    assert under_key == written_by(write, stories(), pseudonyms=again)
    assert under_key != written_by(write, stories(), pseudonyms=Pseudonyms(b"x" * 32))
    assert written_by(write, stories()) != written_by(write, stories())
    assert PSEUDONYMS.key.hex() not in under_key
    assert repr(PSEUDONYMS) == "Pseudonyms()"


@given(st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), unique=True))
def test_two_persons_have_two_pseudonyms(users: list[tuple[str, str]]) -> None:
    """Also where the ids of platform and user, put together, are the same text."""
    sessions = [
        ChatSession(platform_id=platform, user_id=user, state=State.OPEN, opened_at=START)
        for platform, user in users
        if "\0" not in platform + user
    ]
    found = [PSEUDONYMS.of(session) for session in sessions]
    assert len({one.user_id for one in found}) == len(sessions)
    assert len({one.session_id for one in found}) == len(sessions)


@pytest.mark.parametrize("write", [write_xes, write_ocel])
def test_no_chats_are_a_log_still(tmp_path: Path, write: Any) -> None:
    if write is write_xes:
        assert xes_of(tmp_path / "none.xes", []) == []
    else:
        assert whole(ocel_of(tmp_path / "none.json", [])) == {}


@pytest.mark.parametrize("write", [write_xes, write_ocel])
def test_rows_are_written_as_they_come(write: Any) -> None:
    passed: list[int] = []
    written: list[str] = []

    def watched() -> Any:
        for number, one in enumerate(stories()):
            passed.append(number)
            events = sum("messageId" in part or "receivedAt" in part for part in written)
            assert number <= events + 2
            yield one

    write(watched(), written.append)
    assert len(passed) == len(stories())


ids = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ids, ids, ids)
def test_any_id_can_be_written_and_read(tmp_path: Path, one: str, two: str, three: str) -> None:
    session, row = stories()[6]
    session = replace(session, platform_id=one, user_id=two)
    row = replace(row, agent_id=two, message_id=three, type=one, reason=two)
    ((trace, (found,)),) = xes_of(tmp_path / "chats.xes", [(session, row)], users=True)

    def as_xml_can(text: str) -> tuple[str, str]:
        forbidden = {*range(9), 11, 12, *range(14, 32), *range(127, 160), 0xFFFE, 0xFFFF}
        return "string", "".join(f"\\u{ord(c):04x}" if ord(c) in forbidden else c for c in text)

    assert (trace["platform"], trace["user"]) == (as_xml_can(one), as_xml_can(two))
    assert (found["org:resource"], found["messageId"]) == (as_xml_can(two), as_xml_can(three))
    objects = whole(ocel_of(tmp_path / "chats.json", [(session, row)], users=True))
    assert f"platform:{one}" in objects
    assert f"agent:{two}" in objects


# --- the command ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [
        ("chats.xes", [], "xes"),
        ("chats.XES.GZ", [], "xes"),
        ("chats.xml", [], "xes"),
        ("chats.json", [], "ocel"),
        ("chats.json.gz", [], "ocel"),
        ("chats.jsonocel", [], "ocel"),
        ("chats", ["--format", "ocel"], "ocel"),
        ("chats.gz", ["--format", "xes"], "xes"),
    ],
)
def test_the_name_of_the_file_says_what_it_is_to_be(
    db: str, key: Path, tmp_path: Path, name: str, options: list[str], kind: str
) -> None:
    path = tmp_path / name
    under = ("--pseudonym-key", key, "--db", db)
    result = sermo("export", "history", "-o", path, *options, *under)
    assert (result.exit_code, result.output) == (0, "2 chats with 21 rows\n")
    printed = sermo("export", "history", "--format", kind, *under).stdout
    content = path.read_bytes()
    if name.lower().endswith(".gz"):
        content = gzip.decompress(content)
    assert content == printed.encode()
    assert printed.startswith({"xes": "<?xml", "ocel": '{"eventTypes"'}[kind])


def test_a_process_miner_opens_what_was_compressed(db: str, tmp_path: Path) -> None:
    path = tmp_path / "chats.xes.gz"
    sermo("export", "history", "-o", path, "--db", db)
    assert len(read_xes(path)) == 2


def test_the_same_chats_give_the_same_bytes(db: str, key: Path, tmp_path: Path) -> None:
    for name in ("a.xes.gz", "b.xes.gz", "c.xes.gz"):
        under = ("--pseudonym-key", key) if name != "c.xes.gz" else ()
        sermo("export", "history", "-o", tmp_path / name, *under, "--db", db)
    assert (tmp_path / "a.xes.gz").read_bytes() == (tmp_path / "b.xes.gz").read_bytes()
    assert (tmp_path / "a.xes.gz").read_bytes() != (tmp_path / "c.xes.gz").read_bytes()


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        (b"k" * 31, 0o600, "wanted a key of 32 to 4096 bytes, got 31"),
        (b"k" * 31 + b"\r\n\n", 0o600, "got 31; make one by: openssl rand -hex 32"),
        (b"", 0o600, "got 0"),
        (b"k" * 5000, 0o600, "got 4097"),
        (b"k" * 32, 0o640, "others than its owner may use it; run: chmod 600 "),
        (b"k" * 32, 0o604, "others than its owner may use it"),
        (None, 0o600, "No such file or directory"),
    ],
)
def test_a_key_has_to_be_one(
    content: bytes | None, mode: int, words: str, db: str, tmp_path: Path
) -> None:
    path = tmp_path / "my key"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    done = sermo("export", "history", "--pseudonym-key", path, "--db", db)
    assert done.exit_code == 2
    assert "--pseudonym-key" in done.stderr
    assert words in done.stderr
    assert str(path) in done.stderr


def test_ids_and_pseudonyms_exclude_each_other(db: str, key: Path) -> None:
    done = sermo("export", "history", "--users", "--pseudonym-key", key, "--db", db)
    assert done.exit_code == 2
    assert "--users and --pseudonym-key exclude each other" in done.stderr


def test_json_says_what_was_written(db: str, tmp_path: Path) -> None:
    path = tmp_path / "chats.xes"
    answer = json.loads(sermo("export", "history", "-o", path, "--json", "--db", db).stdout)
    assert answer == {"format": "xes", "file": str(path), "chats": 2, "rows": 21}


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        (["--since", at(1).isoformat()], 1),
        (["--until", at(1).isoformat()], 20),
        (["--since", at(0).isoformat(), "--until", START.isoformat()], 0),
        (["--platform", "web"], 21),
        (["--platform", "app"], 0),
    ],
)
@pytest.mark.parametrize("kind", ["xes", "ocel"])
def test_only_the_chats_asked_for_are_in_it(
    db: str, tmp_path: Path, kind: str, options: list[str], rows: int
) -> None:
    path = tmp_path / "chats"
    options = ["-o", str(path), "--format", kind, "--json", *options, "--db", db]
    assert json.loads(sermo("export", "history", *options).stdout)["rows"] == rows


@pytest.mark.parametrize(
    "options",
    [
        ["-o", "chats.csv"],
        ["-o", "chats.json.gz", "--format", "xes"],
        ["--json"],
        ["--since", "someday"],
        ["--format", "csv"],
    ],
)
def test_wrong_usage_is_2(db: str, options: list[str]) -> None:
    assert sermo("export", "history", *options, "--db", db).exit_code == 2


@pytest.mark.parametrize("name", ["chats.xes.gz", "chats.json"])
def test_where_the_database_refuses_half_way_the_old_file_is_whole(
    db: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(b"old")
    monkeypatch.setattr("sermo_fsm.engine.unit_of_work._PORTION", 1)
    with ChatEngine(db) as engine, engine._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE sermo_history SET outcome = 'odd' WHERE id = 21")
    result = sermo("export", "history", "-o", path, "--db", db)
    assert result.exit_code == 3
    assert "unknown Outcome" in result.stderr
    assert path.read_bytes() == b"old"
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(["chats.db", name])


def test_a_disk_that_is_full_is_2(db: str) -> None:
    arguments = ("export", "history", "-o", "/dev/full", "--format", "xes", "--db", db)
    result = sermo(*arguments)
    assert result.exit_code == 2
    assert result.stderr == "Error: /dev/full: No space left on device\n"


def test_who_watches_sees_how_far_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, db: str
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    screen = Terminal()
    monkeypatch.setattr("sys.stderr", screen)
    with pytest.raises(SystemExit) as ended:
        main(["export", "history", "-o", str(tmp_path / "chats.xes"), "--db", db])
    assert ended.value.code == 0
    assert "21/? rows" in screen.plain


def test_who_watches_is_told_now_and_then_and_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export_history, "_ROWS_PER_REPORT", 10)
    told: list[tuple[int, int | None]] = []
    tally = export_history._Tally()
    counted = tally.counted(iter(stories()), lambda *so_far: told.append(so_far))
    assert tuple(counted) == stories()
    assert told == [(10, None), (20, None), (len(stories()), None)]
    assert (tally.chats, tally.rows) == (4, len(stories()))


def test_mixed_traffic_is_a_whole_log(tmp_path: Path) -> None:
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        engine.handle_many(traffic(3000))
        told = list(engine.stories())
    assert len(whole(ocel_of(tmp_path / "chats.json", told))) > 100
    assert sum(len(events) for _, events in xes_of(tmp_path / "chats.xes", told)) == len(told)
    assert ANDERS["id"] in (tmp_path / "chats.xes").read_text("utf-8")


# --- what later programs and operators do ---------------------------------------------------------


def test_later_events_and_a_close_by_hand_are_in_both_logs(tmp_path: Path) -> None:
    with ChatEngine("sqlite://") as engine:
        engine.migrate()
        engine.handle_many(LATER[:14])
        assert engine.close_chat("web", USER, reason="stuck", at=at(75))
        told = [*engine.stories()]
    ((trace, events),) = xes_of(tmp_path / "chats.xes", told)
    assert trace["closeReason"] == ("string", "operator")
    last = {"concept:name": "close", "org:role": "operator", "direction": "operator"}
    assert {key: events[-1][key][1] for key in last} == last
    assert events[9]["org:resource"] == ("string", "anan01")
    log = ocel_of(tmp_path / "chats.json", told)
    (claim, other) = (one for one in log["events"] if one["type"] == "claim_session")
    assert [one["objectId"] for one in claim["relationships"]][1:] == ["agent:anan01"]
    assert [one["objectId"] for one in other["relationships"]][1:] == ["agent:bebe02"]
    assert log["events"][-1]["type"] == "close"
    whole(log)
