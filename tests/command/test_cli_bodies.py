"""Who sees what: what people wrote, and agents' names, only where they are asked for."""

import json

import pytest

from sermo_fsm import ChatEngine, Envelope
from tests.command.test_cli_support import sermo, url_of
from tests.storage.test_sealing import IMAGE
from tests.support import ANDERS, at, event, text

WORDS = ("hemligt", "Anders Andersson", "knappen", "kortet", "sidan", "därför", "rått")
"""What people wrote or are called."""

CHAT = (
    Envelope("inbound", event("start", params={"page": "sidan"}), received_at=at(0)),
    Envelope("inbound", text("hemligt", image=IMAGE), received_at=at(1)),
    Envelope("outbound", text("hemligt", agent=ANDERS), received_at=at(2)),
    Envelope("outbound", event("carousel", agent=ANDERS, cards=["kortet"]), received_at=at(3)),
    Envelope("inbound", event("postback", text="knappen"), received_at=at(4)),
    Envelope("outbound", event("news", text="hemligt"), received_at=at(5)),
    Envelope("outbound", event("end_session", reasonText="därför"), received_at=at(6)),
    Envelope("inbound", '{"type": "text", "text": ["rått hemligt"]}', received_at=at(7)),
    Envelope("inbound", {"type": "news", "text": "hemligt"}, received_at=at(8)),
)


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = url_of(tmp_path_factory.mktemp("bodies") / "chats.db")
    with ChatEngine(url) as chats:
        chats.migrate()
        assert len(chats.handle_many(CHAT)) == len(CHAT)
    return url


WITH_BODIES = {
    "history": ("history", "web", "anna"),
    "history --json": ("history", "web", "anna", "--json"),
    "history --csv": ("history", "web", "anna", "--csv"),
    "timeline": ("timeline", "web", "anna"),
    "timeline --json": ("timeline", "web", "anna", "--json"),
    "timeline --format mermaid": ("timeline", "web", "anna", "--format", "mermaid"),
    "strays": ("strays",),
    "strays --json": ("strays", "--json"),
    "strays --csv": ("strays", "--csv"),
}
"""The commands that have ``--bodies``, in every form in which they answer."""


@pytest.mark.parametrize("name", WITH_BODIES)
def test_what_people_wrote_is_shown_only_where_it_is_asked_for(name: str, db: str) -> None:
    command = (*WITH_BODIES[name], "--db", db)
    plain = sermo(*command)
    assert plain.exit_code == 0, plain.output
    assert not [word for word in WORDS if word in plain.output]
    asked = sermo(*command, "--bodies")
    assert asked.exit_code == 0, asked.output
    assert "hemligt" in asked.output


@pytest.mark.parametrize("name", ["timeline", "timeline --json", "history --json"])
def test_names_of_agents_are_among_them(name: str, db: str) -> None:
    assert "Anders Andersson" in sermo(*WITH_BODIES[name], "--bodies", "--db", db).stdout


@pytest.mark.parametrize("command", ["history", "timeline", "strays"])
def test_the_help_of_json_says_so(command: str) -> None:
    said = " ".join(sermo(command, "--help").stdout.split())
    assert "--json Print JSON. What people wrote is null in it without --bodies." in said
    assert "--bodies Include what people wrote, and agents' names." in said


@pytest.mark.parametrize("keys", [("history", "event"), ("timeline", "said"), ("strays", "raw")])
def test_in_json_it_is_null(keys: tuple[str, str], db: str) -> None:
    command, key = keys
    rows = json.loads(sermo(*WITH_BODIES[f"{command} --json"], "--db", db).stdout)
    assert rows
    assert {row[key] for row in rows} == {None}


WITHOUT = {
    "status": ("status", "web", "anna"),
    "status --json": ("status", "web", "anna", "--json"),
    "sessions": ("sessions",),
    "sessions --json": ("sessions", "--json"),
    "sessions --csv": ("sessions", "--csv"),
    "counts": ("counts", "--json"),
    "figures": ("figures", "--json"),
    "figures --list": ("figures", "--list", "visits", "--csv"),
    "waiting": ("waiting", "--json"),
    "verify": ("verify", "--json"),
    "diagram": ("diagram", "web", "anna", "--format", "dot"),
    "diagram --traffic": ("diagram", "--traffic", "--format", "dot"),
    "export history": ("export", "history"),
    "export history --format ocel": ("export", "history", "--format", "ocel"),
}


@pytest.mark.parametrize("name", WITHOUT)
def test_no_other_command_shows_it(name: str, db: str) -> None:
    done = sermo(*WITHOUT[name], "--db", db)
    assert done.exit_code == 0, done.output
    names_an_agent = name.startswith(("status", "sessions"))
    words = [word for word in WORDS if word != "Anders Andersson" or not names_an_agent]
    assert not [word for word in words if word in done.output]
