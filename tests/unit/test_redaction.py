"""What is taken out of a text, what stays, and where text is in an event."""

import builtins
import json
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from attrs import define
from hypothesis import example, given
from hypothesis import strategies as st
from stdnum import luhn

from sermo_fsm import CustomerText, Envelope, InvalidArgument, RedactionFailed
from sermo_fsm.protocol.envelope import arrive, arrive_line
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.json_reader import Limits
from sermo_fsm.protocol.message import Message, Rejected
from sermo_fsm.protocol.stored_form import EXCERPT_BYTES
from sermo_fsm.redaction import CARD, EMAIL, PERSONAL_NUMBER, PHONE, redactor
from tests.support import START

REDACT = redactor()
PNR, PNR_COMPACT = "811228-9874", "8112289874"
VISA = "4111111111111111"


def wide(text: str) -> str:
    """With the digits of Japanese type."""
    return "".join(chr(ord(char) + 0xFEE0) if char.isdigit() else char for char in text)


def coordinated(number: str) -> str:
    """The coordination number of somebody born that day."""
    digits = f"{number[:4]}{int(number[4:6]) + 60}{number[7:10]}"
    return f"{digits[:6]}-{digits[6:]}{luhn.calc_check_digit(digits)}"


LEAP = f"000229-123{luhn.calc_check_digit('000229123')}"

HITS = {
    # payment cards, by issuer
    VISA: CARD,
    "4000000000000000006": CARD,
    "5555555555554444": CARD,
    "2223003122003222": CARD,
    "378282246310005": CARD,
    "30569309025904": CARD,
    "6011111111111117": CARD,
    "3530111333300000": CARD,
    "6200000000000005": CARD,
    "6759649826438453": CARD,
    # how they are written
    "4111 1111 1111 1111": CARD,
    "4111-1111-1111-1111": CARD,
    "4111.1111.1111.1111": CARD,
    "4111  1111  1111  1111": CARD,
    "4111\u00a01111\u202f1111\u20091111": CARD,
    "4111–1111–1111–1111": CARD,
    "41\u200b11111111111111": CARD,
    "4 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1": CARD,
    "411111 1111111111": CARD,
    "3782 822463 10005": CARD,
    "4000 0000 0000 0000 006": CARD,
    "٤١١١١١١١١١١١١١١١": CARD,
    "4111" + wide("1111") + "11111111": CARD,
    "4111 1111 1111 1111 12/27 123": f"{CARD} 12/27 123",
    "4111 1111 1111 1111 1227": f"{CARD} 1227",
    "4111111111111111 5555555555554444": f"{CARD} {CARD}",
    "kort4111111111111111": f"kort{CARD}",
    "4111111111111111kr": f"{CARD}kr",
    "4111 1111 1111 1111 12a3": f"{CARD} 12a3",
    '{"number":"4111111111111111"}': f'{{"number":"{CARD}"}}',
    "https://x.se/pay?c=4111111111111111&n=1": f"https://x.se/pay?c={CARD}&n=1",
    # personal numbers
    PNR: PERSONAL_NUMBER,
    PNR_COMPACT: PERSONAL_NUMBER,
    "19811228-9874": PERSONAL_NUMBER,
    "198112289874": PERSONAL_NUMBER,
    "19 811228-9874": PERSONAL_NUMBER,
    "811228 9874": PERSONAL_NUMBER,
    "811228 - 9874": PERSONAL_NUMBER,
    "811228+9874": PERSONAL_NUMBER,
    "18811228-9874": PERSONAL_NUMBER,
    LEAP: PERSONAL_NUMBER,
    "1981-12-28-9874": PERSONAL_NUMBER,
    "81 12 28 9874": PERSONAL_NUMBER,
    wide(PNR): PERSONAL_NUMBER,
    "811228\u20119874": PERSONAL_NUMBER,
    "pnr811228-9874, mvh": f"pnr{PERSONAL_NUMBER}, mvh",
    "8112289874mvh": f"{PERSONAL_NUMBER}mvh",
    "(811228-9874)": f"({PERSONAL_NUMBER})",
    "811228-9874,811228-9874": f"{PERSONAL_NUMBER},{PERSONAL_NUMBER}",
    "kund 12 811228-9874": f"kund 12 {PERSONAL_NUMBER}",
    "https://x.se/p/811228-9874/": f"https://x.se/p/{PERSONAL_NUMBER}/",
    coordinated(PNR): PERSONAL_NUMBER,
    "19" + coordinated(PNR): PERSONAL_NUMBER,
    # addresses
    "anna@example.se": EMAIL,
    "Anna.Berg+chat@mail.example.co.uk": EMAIL,
    "åsa@exämple.se": EMAIL,
    "anna\uff20example.se": EMAIL,
    "anna@xn--exmple-cua.xn--p1ai": EMAIL,
    "mejla anna@example.se.": f"mejla {EMAIL}.",
    "<anna@example.se>;'bo@example.se'": f"<{EMAIL}>;'{EMAIL}'",
    "-anna@example.se": f"-{EMAIL}",
    "mailto:anna@example.se?subject=hej": f"mailto:{EMAIL}?subject=hej",
    "https://x.se/?e=anna%40example.se&n=1": f"https://x.se/?e={EMAIL}&n=1",
    "811228-9874@example.se": EMAIL,
    "x" * 300 + "@example.se": EMAIL,
}

STAYS = (
    "",
    "Hej!",
    "Min order är 12345, faktura 900123456.",
    "4111 1111 1111 1112",  # the check digit
    "1111111111111117",  # nobody gives out that prefix
    "41111111111111111",  # nor that length
    "0704111111111111111113",
    "4111/1111/1111/1111",
    "811228-9873",
    "811328-9874",
    "810230-" + luhn.calc_check_digit("810230000") * 4,
    "811299-9874",  # neither a day nor one plus 60
    "556012-5790",  # a company
    "2024-06-11 1430",
    "2020-02-18T12:14:11.386Z",
    "59.8112289874",
    "98112289874",
    "81122898741",
    "17811228-9874",
    "19" + LEAP,  # 1900 had no such day
    "3f8112289874a5",
    "5f2c0f2e-6a1e-4d0f-9b8e-51c7a2d4e690",
    "@anna",
    "anna@",
    "anna@localhost",
    "-@example.se",
    "50 % @ 40 kr",
    "08-123 45 67",
)


@pytest.mark.parametrize("text", HITS)
def test_it_is_replaced(text: str) -> None:
    assert REDACT(text) == HITS[text]
    assert REDACT(f"Hej, {text} var det") == f"Hej, {HITS[text]} var det"


@pytest.mark.parametrize("text", STAYS)
def test_it_stays(text: str) -> None:
    assert REDACT(text) == text


PIECES = st.one_of(
    st.sampled_from([*HITS, *STAYS, CARD, "[", "]", "%40", "@", " ", "-", "+", ".", "a", "19"]),
    st.text(st.sampled_from("0123456789 -+.@a,٤\u200b"), max_size=20),
    st.text(max_size=5),
)


@given(st.lists(PIECES, max_size=12).map("".join))
@example("811228-9874 411111 1111111111")
@example("811228-98744111111111111111")
@example("a811228-9874b4111111111111111c")
@example("[e-post]@example.se anna@example.se@example.se")
def test_twice_is_the_same_as_once(text: str) -> None:
    once = REDACT(text)
    assert REDACT(once) == once


@given(st.lists(PIECES, max_size=12).map("".join))
@example("\0" + "4111111111111111@anna")
def test_what_is_no_hit_stays_byte_for_byte(text: str) -> None:
    """What is left between the replacements stands in the text, in this order."""
    text, at = text.replace("[", "("), 0
    marks = "|".join(map(re.escape, (CARD, PERSONAL_NUMBER, EMAIL)))
    for piece in re.split(marks, REDACT(text)):
        found = text.find(piece, at)
        assert found >= 0
        at = found + len(piece)


@given(st.text(st.characters(exclude_categories=["Nd", "Cs"], exclude_characters="@\uff20\ufe6b")))
def test_a_text_without_digits_and_addresses_is_not_looked_at_further(text: str) -> None:
    assert REDACT(text) is text


@pytest.mark.parametrize(
    "text", ["1 " * 32_000, "1" * 64_000, "a." * 32_000, "a@" * 32_000, "8112 " * 12_000]
)
def test_no_text_takes_long(text: str) -> None:
    """Without a clock: what is quadratic in 64 KiB does not end within the test's life."""
    assert REDACT(text) == text


# --- phone numbers -------------------------------------------------------------------------------


def test_phone_numbers_are_looked_for_where_asked() -> None:
    text = "Ring 070-174 06 05 eller +46 8 123 456 78, order 12345."
    assert REDACT(text) == text
    with_phones = redactor(phones="SE")
    assert with_phones(text) == f"Ring {PHONE} eller {PHONE}, order 12345."
    assert with_phones(f"{PNR} ") == f"{PERSONAL_NUMBER} "


@define
class Guess:
    """A result as presidio gives it."""

    start: int
    end: int
    entity_type: str


class Guessing:
    """Finds names and streets, one of them in a name, and takes our marks for names."""

    def analyze(self, text: str, language: str) -> list[Guess]:
        assert language == "sv"
        kinds = {"Anna Berg": "PERSON", "Berg,": "STREET", "kortnummer": "PERSON", "A": "NRP"}
        return [
            Guess(found.start(), found.end(), kind)
            for words, kind in kinds.items()
            for found in re.finditer(words, text)
        ]


def test_presidio_is_asked_for_the_rest_where_it_is_given() -> None:
    redact = redactor(presidio=Guessing(), language="sv")
    assert redact(f"Jag är Anna Berg, kort {VISA}.") == f"Jag är [person] kort {CARD}."
    assert redact("Hej!") == "Hej!"


def test_a_region_has_to_be_known() -> None:
    with pytest.raises(InvalidArgument, match="phones: wanted a region such as SE, got 'Sverige'"):
        redactor(phones="Sverige")


@pytest.mark.parametrize(
    ("module", "options", "extra"),
    [("stdnum", {}, "redact"), ("phonenumbers", {"phones": "SE"}, "phones")],
)
def test_what_is_not_installed_is_named(
    module: str, options: Any, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == module:
            raise ImportError(name)
        return whole(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidArgument, match=rf"pip install 'sermo-fsm\[{extra}\]'"):
        redactor(**options)


def test_an_engine_without_it_loads_neither() -> None:
    program = "import sermo_fsm, sys; print({'stdnum', 'phonenumbers'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.split() == [b"set()"]


# --- where text is -------------------------------------------------------------------------------

Redact = Callable[[str], str]


def shout(text: str) -> str:
    return f"<{text}>"


def opened(raw: Any, redact: Redact, direction: Direction = Direction.INBOUND) -> Message:
    message = arrive(Envelope(direction, raw), Limits(), START, redact=redact)
    assert isinstance(message, Message)
    return message


def test_every_string_is_text_but_ids_and_words() -> None:
    event = {
        "type": "carousel",
        "platformId": "web",
        "userId": "u",
        "direction": "outbound",
        "at": "2020-02-18T12:14:11.386Z",
        "text": "t",
        "agent": {"id": "a-1", "type": "human", "name": "Bo", "avatarUrl": "https://x.se/bo"},
        "cards": [{"title": "c", "buttons": [{"payload": "p", "n": 1.5, "on": True}]}, None],
        "url": "u",
        "count": 3,
    }
    body = opened(event, shout, Direction.OUTBOUND).body
    assert body == {
        **event,
        "text": "<t>",
        "agent": {"id": "a-1", "type": "human", "name": "<Bo>", "avatarUrl": "<https://x.se/bo>"},
        "cards": [{"title": "<c>", "buttons": [{"payload": "<p>", "n": 1.5, "on": True}]}, None],
        "url": "<u>",
        "count": "<3>",
    }


@pytest.mark.parametrize(
    ("direction", "event"),
    [
        ("internal", {"type": "claim_session", "agentId": "a-1"}),
        ("internal", {"type": "handover_to_queue", "queueId": "q"}),
        ("internal", {"type": "transfer_to_agent_application", "toAgentApplication": "q"}),
        ("outbound", {"type": "handover_to_bot", "flowGroupId": "f"}),
        ("outbound", {"type": "queue_number", "queueNumber": 3}),
        ("inbound", {"type": "heartbeat"}),
        ("inbound", {"type": "typing_on", "text": "unsent"}),
    ],
)
def test_what_the_machine_reads_is_no_text(direction: str, event: Any) -> None:
    def never(text: str) -> str:
        raise AssertionError(text)

    whole = {**event, "userId": "u", "platformId": "web"}
    body = opened(whole, never, Direction(direction)).body
    assert body == {name: item for name, item in whole.items() if item != "unsent"}


@pytest.mark.parametrize("field", ["type", "at", "agentId", "agent", "image", "text"])
def test_a_field_that_holds_something_else_is_text_all_the_same(field: str) -> None:
    event = {"type": "news", "userId": "u", field: [{"text": VISA}]}
    rejected = arrive(Envelope(Direction.INBOUND, event), Limits(), START, redact=REDACT)
    kept = rejected.raw if isinstance(rejected, Rejected) else json.dumps(rejected.body)
    assert kept is not None
    assert VISA not in kept
    assert CARD in kept


def test_a_number_is_text_by_its_digits() -> None:
    event = {"type": "start", "userId": "u", "platformId": "w", "params": {"pnr": 198112289874}}
    assert opened(event, REDACT).body["params"] == {"pnr": PERSONAL_NUMBER}
    event = {"type": "start", "userId": "u", "platformId": "w", "params": {"pnr": 8112289874.0}}
    assert opened(event, REDACT).body["params"] == {"pnr": PERSONAL_NUMBER}
    event = {"type": "start", "userId": "u", "platformId": "w", "params": {"order": 12345}}
    assert opened(event, REDACT).body["params"] == {"order": 12345}
    for number in (1.5, 8112289873.0, 1e300):
        event = {"type": "start", "userId": "u", "platformId": "w", "params": {"x": number}}
        assert opened(event, REDACT).body["params"] == {"x": number}


PICTURE = "data:image/png;base64,iVBORw0KGgo="


def test_a_picture_is_not_read_and_an_address_in_its_place_is() -> None:
    event = {"type": "text", "text": "", "userId": "u", "platformId": "w"}
    message = opened({**event, "image": PICTURE}, shout)
    assert message.image is not None
    assert message.image.media_type == "image/png"
    message = opened({**event, "image": "https://x.se/?e=anna@example.se"}, REDACT)
    assert message.image is not None
    assert message.image.content == f"https://x.se/?e={EMAIL}".encode()
    long = "x" * 70_000
    message = opened(json.dumps({**event, "image": long}), shout)
    assert message.image is not None
    assert message.image.content == long.encode()


@pytest.mark.parametrize(
    "raw",
    [
        {"type": "text", "text": VISA, "userId": "u", "platformId": "w"},
        json.dumps({"type": "text", "text": VISA, "userId": "u", "platformId": "w"}),
        json.dumps({"type": "text", "text": VISA, "userId": "u", "platformId": "w"}).encode(),
        CustomerText(text=VISA, user_id="u", platform_id="w"),
        b'{"type":"text","text":"4111\\u00201111 1111 \\u0031111","userId":"u","platformId":"w"}',
    ],
    ids=["mapping", "text", "bytes", "event", "escapes"],
)
def test_however_it_is_handed_in(raw: Any) -> None:
    message = opened(raw, REDACT)
    assert message.body["text"] == CARD
    assert isinstance(message.event, CustomerText)
    assert message.event.text == CARD


# --- invalid events ------------------------------------------------------------------------------


def kept_of(raw: Any, redact: Redact = REDACT) -> str:
    rejected = arrive_line(raw, Limits(), START, direction=Direction.INBOUND, redact=redact)
    assert isinstance(rejected, Rejected)
    assert rejected.raw is not None
    return rejected.raw


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (f'{{"type": "text", "text": 5, "x": "{VISA}"}}', CARD),
        (f"not JSON {VISA}".encode(), f"not JSON {CARD}"),
        (f"\xff {PNR}".encode("latin-1"), f"\\xff {PERSONAL_NUMBER}"),
        (b'{"text": "anna\\u0040example.se', f'{{"text": "{EMAIL}'),
        (b"\\ud83d\\ude00 8112\\u003289874", f"😀 {PERSONAL_NUMBER}"),
        (b"\\ud83d \\u0034111111111111111", f"\ufffd {CARD}"),
        (b"\\u0041 no hit", "\\u0041 no hit"),
        (f"\0 {PNR}", f"\\x00 {PERSONAL_NUMBER}"),
        (f'{{"text": "{PNR}"}}'.encode("utf-16"), PERSONAL_NUMBER),
        (f"{VISA} å".encode("utf-16-be"), f"{CARD} å"),
        (f"\ud800 {PNR}", f"\\ud800 {PERSONAL_NUMBER}"),
        (f"\\u00e5 {PNR}", f"\\u00e5 {PERSONAL_NUMBER}"),
        (f'\\"{VISA}\\"', f'\\"{CARD}\\"'),
        ({"type": "text", "text": {"x": VISA}}, CARD),
        (f'{{"direction": "x", "event": {{"text": "{VISA}"}}}}', CARD),
        (f'{{"direction": "inbound", "event": {{"type": 5, "text": "{VISA}"}}}}', CARD),
    ],
)
def test_the_raw_text_of_an_invalid_event_is_text(raw: Any, kept: str) -> None:
    found = kept_of(raw)
    assert kept in found
    assert VISA not in found


@pytest.mark.parametrize("before", [*range(-20, 21, 5), 500, 505, 512, 540])
def test_no_part_of_a_number_is_kept_where_the_raw_text_is_cut(before: int) -> None:
    text = "x " * ((EXCERPT_BYTES + before) // 2)
    assert "4111" not in kept_of(text + VISA + " y" * 400)
    many = f"{VISA} " * 5000  # each becomes shorter, so that what stood behind the cut comes in
    assert "4111" not in kept_of("x" * (before % 17) + " " + many)


def test_a_time_too_far_ahead_hides_no_text() -> None:
    event = f'{{"type": "text", "text": "{VISA}"}}'
    raw = f'{{"direction": "inbound", "receivedAt": "2099-01-01T00:00:00Z", "event": {event}}}'
    rejected = arrive_line(raw, Limits(), START, latest=START, redact=REDACT)
    assert isinstance(rejected, Rejected)
    assert VISA not in str(rejected.raw)


# --- functions that fail -------------------------------------------------------------------------


def broken(text: str) -> str:
    raise ValueError(f"can't read {text}")


@pytest.mark.parametrize(
    ("redact", "what"),
    [
        (broken, r"raised ValueError at test_redaction\.py:\d+"),
        (lambda _: None, "returned null, not a str"),
        (lambda text: text.encode(), "returned a Python bytes, not a str"),
        (lambda _: "\ud800", "returned a text with NUL or lone surrogates"),
        (lambda _: "\0", "returned a text with NUL or lone surrogates"),
    ],
    ids=["raises", "null", "bytes", "surrogate", "NUL"],
)
@pytest.mark.parametrize("raw", ['{"type": "text", "text": "secret"}', "no JSON, secret"])
def test_a_function_that_fails_is_named_and_the_text_is_not(
    raw: str, redact: Any, what: str
) -> None:
    with pytest.raises(RedactionFailed, match=what) as caught:
        arrive_line(
            raw,
            Limits(),
            START,
            direction=Direction.INBOUND,
            platform_id="w",
            redact=redact,
        )
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert not isinstance(caught.value.__context__, ValueError)  # which may quote the text
