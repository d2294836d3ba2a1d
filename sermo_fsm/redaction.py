"""What can be told with certainty to be a number or an address that no chat needs, taken out.

>>> redact = redactor()
>>> redact("Mitt kort är 4111 1111 1111 1111, mitt pnr 811228-9874 och ordern 8112289873.")
'Mitt kort är [kortnummer], mitt pnr [personnummer] och ordern 8112289873.'

For ``redact=`` of the engines, and ``--redact`` of the command. It needs an extra:
``pip install 'sermo-fsm[redact]'``. What it finds, and what it lets by, is in docs/privacy.md.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import Any, Final, Protocol

from sermo_fsm.errors import InvalidArgument

__all__ = ["CARD", "EMAIL", "PERSONAL_NUMBER", "PHONE", "Analyzer", "redactor"]

CARD: Final = "[kortnummer]"
"""Stands for the number of a payment card."""
PERSONAL_NUMBER: Final = "[personnummer]"
"""Stands for a Swedish personal or coordination number."""
EMAIL: Final = "[e-post]"
"""Stands for an e-mail address."""
PHONE: Final = "[telefonnummer]"
"""Stands for a phone number."""

_Redact = Callable[[str], str]
_Step = tuple[Callable[[str], object], _Redact]
"""Whether a text may have something of a kind, and what takes that out."""


class _Found(Protocol):
    """What presidio has found: where, and what it is."""

    start: int
    end: int
    entity_type: str


class Analyzer(Protocol):
    """An ``AnalyzerEngine`` of presidio, as far as it is used here."""

    def analyze(self, text: str, language: str) -> Iterable[_Found]:
        """What is in *text*."""


def redactor(
    *, phones: str | None = None, presidio: Analyzer | None = None, language: str = "en"
) -> Callable[[str], str]:
    """A function that takes payment cards, personal numbers and e-mail addresses out of a text.

    Args:
        phones: Take out phone numbers too, and read those without a country as of this region,
            such as ``SE``. That takes milliseconds a text, and the extra ``phones``; left out, no
            phone number is looked for.
        presidio: An ``AnalyzerEngine`` of yours, with its models: what it finds in what is left is
            taken out too, as ``[person]`` by the name of its kind. It guesses, in milliseconds a
            text: to redact twice may take out more, and other models give other texts.
        language: The language that *presidio* reads.

    Raises:
        InvalidArgument: The extra is not installed, or no such region is known.
    """
    try:
        from stdnum import luhn
        from stdnum.se import personnummer
    except ImportError:
        raise _not_installed("redact", "redact") from None
    born = personnummer.get_birth_date
    steps: list[_Step] = [
        (_AT, partial(_EMAIL.sub, rf"\g<list>{EMAIL}")),
        (_LONG_NUMBER, partial(_without_cards, passes=luhn.is_valid)),
        (_LONG_NUMBER, partial(_without_personal_numbers, passes=luhn.is_valid, born=born)),
    ]
    if phones is not None:
        steps.append((_ANYTHING, _without_phones(phones)))
    redact = partial(_redact, steps=steps)
    if presidio is None:
        return redact
    return partial(_by_presidio, first=redact, analyzer=presidio, language=language)


def _not_installed(argument: str, extra: str) -> InvalidArgument:
    wanted = f"the extra: pip install 'sermo-fsm[{extra}]'"
    return InvalidArgument(argument, wanted=wanted, got="no such package")


def _redact(text: str, steps: list[_Step]) -> str:
    if _ANYTHING(text) is None:
        return text
    before = None
    while text != before:  # what is taken out may leave another number standing by itself
        before = text
        for has, step in steps:
            if has(text) is not None:
                text = step(text)
    return text


_ANYTHING: Final = re.compile(r"[\d@\uff20\ufe6b]").search
"""Most texts have no digit and no address: they cost this one search."""

_DASH: Final = r"\-\xad\u2010-\u2015\u2212\ufe58\ufe63\uff0d"
_GAP: Final = rf"[ \t\xa0\u2000-\u200d\u202f\u2060\u3000\ufeff{_DASH}]"
"""What may stand between digits: a space or a dash of any kind, or what nobody sees."""

_AT: Final = re.compile("[@\uff20\ufe6b]|%40").search
_LONG_NUMBER: Final = re.compile(rf"\d(?:(?:{_GAP}|[.+]){{0,3}}\d){{9}}").search
"""As many digits as a personal number has, which is less than a card."""

# --- e-mail --------------------------------------------------------------------------------------

_EMAIL: Final = re.compile(
    r"(?<![\w.+-])(?P<list>[.+-]*+)\w[\w.+-]*+(?:@|\uff20|\ufe6b|%40)"
    r"(?:[^\W_](?:[\w-]{0,61}[^\W_])?\.)+(?:xn--[a-z0-9-]{2,59}|[^\W\d_]{2,63})",
    re.IGNORECASE,
)

# --- payment cards -------------------------------------------------------------------------------

_DIGIT_RUN: Final = re.compile(rf"\d(?:(?:{_GAP}|\.){{0,3}}\d){{12,}}")
_GROUP: Final = re.compile(r"\d+")

_ISSUERS: Final = re.compile(
    r"4(?:\d{15}|\d{18})"  # Visa
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard
    r"|3[47]\d{13}"  # American Express
    r"|3(?:0[0-5]|[689]\d)\d{11}"  # Diners Club
    r"|(?:6011|64[4-9]\d|65\d\d)\d{12}"  # Discover
    r"|35(?:2[89]|[3-8]\d)\d{12}"  # JCB
    r"|62\d{14}(?:\d{3})?"  # UnionPay
    r"|(?:5018|5020|5038|5893|6304|6759|676[1-3])\d{12}"  # Maestro
)
"""The lengths and the prefixes in which each issuer gives out numbers."""

_ONE_GROUP: Final = (0,)
_SHAPES: Final = (_ONE_GROUP, (4, 4, 4, 4), (4, 4, 4, 4, 3), (4, 6, 5), (4, 6, 4))
"""How cards are written, by the lengths of the groups; the first stands for any length."""


def _without_cards(text: str, passes: Callable[[str], bool]) -> str:
    kept, at = [], 0
    for start, end in _places(text):
        digits = _digits(text[start:end])
        if (
            start >= at
            and _ISSUERS.fullmatch(digits)
            and passes(digits)
            and _stands_alone(text, start, end)
        ):
            kept += [text[at:start], CARD]
            at = end
    return "".join([*kept, text[at:]])


def _places(text: str) -> Iterator[tuple[int, int]]:
    """Where cards may stand: whole runs of digits, and in each the groups that look like one.

    A run may have more in it than a card, such as the month and year that follow.
    """
    for run in _DIGIT_RUN.finditer(text):
        yield run.span()
        groups = [group.span() for group in _GROUP.finditer(text, *run.span())]
        for at in range(len(groups)):
            for shape in _SHAPES:
                some = groups[at : at + len(shape)]
                if shape is _ONE_GROUP or tuple(end - start for start, end in some) == shape:
                    yield some[0][0], some[-1][1]


# --- personal numbers ----------------------------------------------------------------------------

_PERSONAL: Final = re.compile(
    rf"(?<!\d)(?<!\d\.)(?:(?P<century>18|19|20){_GAP}?)?"
    rf"(?P<date>\d\d{_GAP}?\d\d{_GAP}?\d\d)(?P<sign>(?:{_GAP}|\+){{0,3}})(?P<number>\d{{4}})(?!\d)"
)
_HAS_DASH: Final = re.compile(f"[{_DASH}]").search
_COORDINATION: Final = 60
"""So much is added to the day of birth in a coordination number."""


def _without_personal_numbers(
    text: str, passes: Callable[[str], bool], born: Callable[[str], Any]
) -> str:
    def replaced(found: re.Match[str]) -> str:
        digits, sign = _digits(found["date"] + found["number"]), found["sign"]
        if _HAS_DASH(found["date"]) and not ("+" in sign or _HAS_DASH(sign)):
            return found[0]  # a date, and a time of day
        if not passes(digits) or not _stands_alone(text, *found.span()):
            return found[0]
        day = int(digits[4:6])
        if day > _COORDINATION:
            day -= _COORDINATION
        century = _digits(found["century"] or "")
        try:
            born(f"{century}{digits[:4]}{day:02}{'+' if '+' in sign else '-'}{digits[6:]}")
        except ValueError:  # there is no such day
            return found[0]
        return PERSONAL_NUMBER

    return _PERSONAL.sub(replaced, text)


# --- phone numbers -------------------------------------------------------------------------------


def _without_phones(region: str) -> _Redact:
    try:
        import phonenumbers
    except ImportError:
        raise _not_installed("phones", "phones") from None
    if region not in phonenumbers.SUPPORTED_REGIONS:
        raise InvalidArgument("phones", wanted="a region such as SE", got=region)

    def replace(text: str) -> str:
        kept, at = [], 0
        for found in phonenumbers.PhoneNumberMatcher(text, region):
            kept += [text[at : found.start], PHONE]
            at = found.end
        return "".join([*kept, text[at:]])

    return replace


# --- presidio ------------------------------------------------------------------------------------

_MARK: Final = re.compile("|".join(map(re.escape, (CARD, PERSONAL_NUMBER, EMAIL, PHONE))))
_START: Final = attrgetter("start")


def _by_presidio(text: str, first: _Redact, analyzer: Analyzer, language: str) -> str:
    """What is left by presidio of what *first* leaves. Of what it finds twice, the first counts."""
    text = first(text)
    marks = [mark.span() for mark in _MARK.finditer(text)]
    kept, at = [], 0
    for found in sorted(analyzer.analyze(text=text, language=language), key=_START):
        start, end = max(found.start, at), found.end
        if start < end and not any(start < close and begin < end for begin, close in marks):
            kept += [
                text[at:start],
                f"[{found.entity_type.lower()}]" if start == found.start else "",
            ]
            at = end
    return "".join([*kept, text[at:]])


# --- digits --------------------------------------------------------------------------------------


def _digits(text: str) -> str:
    """The digits of *text*, whatever script they are written in, as those of ASCII."""
    return "".join(str(int(char)) for char in text if char.isdecimal())


_LETTERS_AT_END: Final = re.compile(r"\d[^\W\d_]+\Z")
_LETTERS_AND_DIGIT: Final = re.compile(r"[^\W\d_]+\d")
_LONGEST_WORD: Final = 64


def _stands_alone(text: str, start: int, end: int) -> bool:
    """Whether this is no part of a code such as ``3f8112289874a5``, of digits and letters mixed.

    Letters on one side alone are a word that somebody did not part from the number.
    """
    before = _LETTERS_AT_END.search(text[max(0, start - _LONGEST_WORD) : start])
    return before is None and _LETTERS_AND_DIGIT.match(text, end, end + _LONGEST_WORD) is None
