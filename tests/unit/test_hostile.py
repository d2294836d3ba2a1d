"""What anyone may send takes no more memory than a few times its size, and may be refused early."""

import hashlib
from typing import Any

import pytest

from benchmarks.hostile import SHAPES, measure
from sermo_fsm import Limits
from sermo_fsm.errors import InvalidEvent
from sermo_fsm.protocol.events import Direction
from sermo_fsm.protocol.json_reader import parse
from sermo_fsm.protocol.message import Message
from sermo_fsm.protocol.stored_form import EXCERPT_BYTES, excerpt
from sermo_fsm.protocol.wire import decode
from tests.support import START

MIB = 1024 * 1024


@pytest.mark.parametrize("shape", SHAPES)
def test_an_input_takes_at_most_four_times_its_size(shape: str) -> None:
    raw = SHAPES[shape](2 * MIB)

    outcome, peak = measure(raw, memory=True)

    assert peak <= 4 * len(raw)
    assert outcome == ("invalid" if shape in REFUSED else "stayed")


REFUSED = list(SHAPES)[list(SHAPES).index("an image of lone surrogates") :]
REFUSED.remove("an image of quotation marks")
REFUSED.remove("an image of backslashes")


def message(raw: bytes | str, **limits: int) -> Message:
    return decode(Direction.INBOUND, raw, received_at=START, limits=Limits(**limits))


TEXT = '{"type":"text","platformId":"web","userId":"u","text":"Hej!"'


@pytest.mark.parametrize(
    ("written", "content"),
    [
        ("a" * MIB, b"a" * MIB),
        ("å" * MIB, "å".encode() * MIB),
        ("a🦐" * (MIB // 2), "a🦐".encode() * (MIB // 2)),
        ("\\n\\u0041\\/" * (MIB // 4), b"\nA/" * (MIB // 4)),
        ("\\ud83e\\udd90" * (MIB // 4), "🦐".encode() * (MIB // 4)),
        ("a\\ud83e\\udd90" * (MIB // 4), "a🦐".encode() * (MIB // 4)),
        ("\\\\ud83e" * (MIB // 2), b"\\ud83e" * (MIB // 2)),
        ('\\"image\\":' * (MIB // 4), b'"image":' * (MIB // 4)),
    ],
    ids=range(8),
)
def test_a_large_image_is_read_as_a_small_one_is(written: str, content: bytes) -> None:
    for raw in (
        f'{TEXT},"image":"{written}"}}',
        f'{{ "image" : "{written}" ,{TEXT[1:]}}}'.encode(),
        f'{{"im\\u0061ge":"{written}",{TEXT[1:]}}}'.encode(),
    ):
        large = message(raw)
        assert large.image is not None
        assert large.image.content == content
        assert large.image.sha256 == hashlib.sha256(content).hexdigest()
        assert large.body["image"] == large.image.description
        # Read as a whole, it is the same.
        assert message(raw, bare_bytes=4 * MIB).image == large.image


LARGE = "a" * 2 * MIB
TOO_LARGE = "wanted an event of at most 65536 bytes without its image"


@pytest.mark.parametrize(
    ("raw", "complaint"),
    [
        (f'{TEXT},"a":"{LARGE}"}}', f"$: {TOO_LARGE}"),
        (f'{TEXT},"{LARGE}":1}}', f"$: {TOO_LARGE}"),
        (f'{TEXT},"a":{{"image":"{LARGE}"}}}}', f"$: {TOO_LARGE}"),
        (f'{TEXT},"event":{{"image":"{LARGE}"}}}}', f"$: {TOO_LARGE}"),
        (f'{TEXT},"image":["{LARGE}"]}}', f"$: {TOO_LARGE}"),
        (f'{{"event":[],"a":"{LARGE}"}}', f"$: {TOO_LARGE}"),
        (f'["{LARGE}"]', "$: wanted an object, got something else"),
        (f'{TEXT},"a":nul,"image":"{LARGE}"}}', "$: wanted JSON, got something else at byte"),
        (f'{TEXT},"image":"{LARGE}","a":nul}}', "$: wanted JSON, got something else at byte"),
        (f'{TEXT},"image":"{LARGE}\n"}}', "$: wanted JSON, got something else at byte"),
        (f'{TEXT},"image":"{LARGE}\\x"}}', "$: wanted JSON, got something else at byte"),
        (f'{TEXT},"image":"{LARGE}\\u00"}}', "$: wanted JSON, got something else at byte"),
        (b'{"a":"\xff","image":"%s"}' % LARGE.encode(), "$: wanted text in UTF-8"),
        (b'{"image":"%s","a":"\xff"}' % LARGE.encode(), "$: wanted text in UTF-8"),
        (b'{"image":"%s\xff"}' % LARGE.encode(), "$: wanted text in UTF-8"),
        (b'{"image":"%s\xf0\x9f"}' % LARGE.encode(), "$: wanted text in UTF-8"),
    ],
    ids=range(16),
)
def test_what_is_wrong_with_a_large_event_is_said(raw: Any, complaint: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        parse(raw, Limits())
    assert complaint in str(caught.value)


TYPING = (
    '"type":"typing"',
    r"\"t\u0079pe\": \"typ\u0069ng\"",
    '"type"' + " " * 200_000 + ':"TYPING"',
    "\x00type\x00:\\u00\x0074yping\x00",
)


@pytest.mark.parametrize("written", TYPING, ids=range(len(TYPING)))
def test_unsent_text_is_found_wherever_its_type_is(written: str) -> None:
    for shift in range(-40, 2):
        text = f'{{"text":"HEMLIGT{"å" * (EXCERPT_BYTES + shift - 16)}",{written}'
        assert excerpt(text) is None
        assert excerpt(text.replace("å", "a").encode()) is None
        assert excerpt(text[: EXCERPT_BYTES + shift]) is not None
