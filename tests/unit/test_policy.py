"""The durations, and how far ahead a time may be: for everybody, for a platform, and as TOML."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError

from sermo_fsm.core.policy import Durations, Policy, Retention, length_of
from sermo_fsm.errors import InvalidArgument

NAMES = ("unload_grace", "idle_timeout", "linger")
LONGEST = timedelta(days=36500)
SECOND = timedelta(seconds=1)


def complaint_of(text: str) -> InvalidArgument:
    with pytest.raises(InvalidArgument) as caught:
        Policy.from_toml(text)
    return caught.value


def test_the_defaults_are_those_of_the_design() -> None:
    for durations in (Durations(), Policy(), Policy().of("web"), Policy.from_toml("")):
        assert durations.unload_grace == timedelta(seconds=60)
        assert durations.idle_timeout == timedelta(minutes=30)
        assert durations.linger == timedelta(minutes=30)


NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("policy", "latest"),
    [
        (Policy(), NOON + timedelta(hours=1)),
        (Policy(max_ahead=5 * SECOND), NOON + 5 * SECOND),
        (Policy.from_toml("max_ahead = 5"), NOON + 5 * SECOND),
        (Policy(max_ahead=None), None),
        (Policy.from_toml("max_ahead = false"), None),
    ],
)
def test_a_time_is_believed_that_is_not_too_far_ahead(
    policy: Policy, latest: datetime | None
) -> None:
    assert policy.latest(NOON) == latest


@pytest.mark.parametrize("value", [timedelta(), -SECOND, LONGEST + SECOND, 3600, False, "1 h"])
def test_how_far_ahead_is_a_duration(value: Any) -> None:
    with pytest.raises(InvalidArgument, match=r"^max_ahead: wanted a timedelta, longer than"):
        Policy(max_ahead=value)


@pytest.mark.parametrize("text", ["max_ahead = 0", "max_ahead = true", "max_ahead = '1 h'"])
def test_how_far_ahead_is_written_in_seconds(text: str) -> None:
    error = complaint_of(text)
    assert (error.argument, error.wanted) == ("max_ahead", SECONDS)


def test_a_customer_may_be_believed_to_be_there_for_ever() -> None:
    assert Policy(idle_timeout=None).of("web").idle_timeout is None


@pytest.mark.parametrize("kind", [Durations, Policy])
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "value",
    [
        timedelta(),
        -SECOND,
        timedelta(microseconds=-1),
        LONGEST + timedelta(microseconds=1),
        timedelta.max,
        timedelta.min,
        60,
        60.0,
        "60",
        True,
        False,
    ],
    ids=repr,
)
def test_a_duration_is_longer_than_nothing_and_within_the_calendar(
    kind: type[Durations], name: str, value: Any
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        kind(**{name: value})
    assert caught.value.argument == name
    assert caught.value.wanted == "a timedelta, longer than nothing and at most 36500 days"
    assert str(caught.value) == f"{name}: wanted {caught.value.wanted}, got {value!r}"


@pytest.mark.parametrize("name", NAMES)
def test_the_shortest_and_the_longest(name: str) -> None:
    for value in (timedelta(microseconds=1), LONGEST):
        durations: dict[str, Any] = {name: value}
        assert getattr(Durations(**durations), name) == value


@pytest.mark.parametrize("name", ["unload_grace", "linger"])
def test_only_the_idle_timeout_may_be_never(name: str) -> None:
    nothing: dict[str, Any] = {name: None}
    with pytest.raises(InvalidArgument, match=name):
        Durations(**nothing)


def test_a_platform_may_have_its_own() -> None:
    own = Durations(idle_timeout=None)
    policy = Policy(linger=SECOND, platforms={"messenger": own})
    assert policy.of("messenger") is own
    assert policy.of("messenger").linger == timedelta(minutes=30)  # the default, not the policy's
    assert policy.of("web") is policy
    assert policy.of("").linger == SECOND


def test_a_policy_is_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        Policy().linger = SECOND  # type: ignore[misc] # what is tested


# --- as a person writes it -----------------------------------------------------------------------


def test_a_policy_reads_as_a_person_writes_it() -> None:
    policy = Policy.from_toml(
        """
        idle_timeout = 1800
        linger = 0.5

        [platforms.messenger]
        idle_timeout = false
        unload_grace = 3_153_600_000  # the longest

        [platforms."comviq.web"]
        linger = 1e3

        [platforms.sms]
        """
    )
    everywhere: Any = {"idle_timeout": timedelta(minutes=30), "linger": timedelta(seconds=0.5)}
    assert policy == Policy(
        **everywhere,
        platforms={
            "messenger": Durations(
                idle_timeout=None, unload_grace=LONGEST, linger=timedelta(seconds=0.5)
            ),
            "comviq.web": Durations(
                idle_timeout=timedelta(minutes=30), linger=timedelta(seconds=1000)
            ),
            "sms": Durations(**everywhere),
        },
    )


def test_a_platform_may_count_where_nobody_else_does() -> None:
    policy = Policy.from_toml("idle_timeout = false\n[platforms.web]\nidle_timeout = 60")
    assert policy.of("sms").idle_timeout is None
    assert policy.of("web").idle_timeout == timedelta(seconds=60)


SECONDS = "a number of seconds, more than 0 and at most 3153600000"
NO_DURATIONS = [
    "0",
    "-1",
    "0.0",
    "-0.5",
    "1e-7",  # rounds to nothing
    "nan",
    "inf",
    "-inf",
    "1e999",
    "3153600001",
    "1e300",
    "9" * 400,
    "true",
    '"60"',
    "[60]",
    "{seconds = 60}",
    "2020-02-18",
    "2020-02-18T12:14:11Z",
    "12:14:11",
]


@pytest.mark.parametrize("text", NO_DURATIONS)
def test_a_duration_is_a_number_of_seconds(text: str) -> None:
    for name in NAMES:
        error = complaint_of(f"{name} = {text}")
        assert (error.argument, error.wanted) == (name, SECONDS)
        error = complaint_of(f"[platforms.web]\n{name} = {text}")
        assert (error.argument, error.wanted) == (f"platforms.web.{name}", SECONDS)


@pytest.mark.parametrize("name", ["unload_grace", "linger"])
def test_only_the_idle_timeout_may_be_false(name: str) -> None:
    assert complaint_of(f"{name} = false").argument == name
    error = complaint_of(f"[platforms.web]\n{name} = false")
    assert (error.argument, error.wanted) == (f"platforms.web.{name}", SECONDS)


EVERYWHERE = " or ".join((*NAMES, "max_ahead", "retain", "platforms"))
ON_A_PLATFORM = " or ".join((*NAMES, "retain"))


@pytest.mark.parametrize(
    ("text", "argument", "wanted"),
    [
        ("idle-timeout = 5", "idle-timeout", EVERYWHERE),
        ("[web]\nlinger = 5", "web", EVERYWHERE),
        ("[platforms.web]\nmax_ahead = 5", "platforms.web.max_ahead", ON_A_PLATFORM),
        ("[platforms.web]\nlinger = 5\nidle = 5", "platforms.web.idle", ON_A_PLATFORM),
        ("[platforms.web.platforms]", "platforms.web.platforms", ON_A_PLATFORM),
        ("platforms = 5", "platforms", "a table for each platform"),
        ("[[platforms]]\nlinger = 5", "platforms", "a table for each platform"),
        ("[platforms]\nlinger = 5", "platforms.linger", "a table"),
        ("[[platforms.web]]\nlinger = 5", "platforms.web", "a table"),
        ("linger", "policy", "TOML"),
        ("linger = ", "policy", "TOML"),
        ("linger = 5\nlinger = 5", "policy", "TOML"),
        ('{"linger": 5}', "policy", "TOML"),
        ("linger = " + "9" * 5000, "policy", "TOML"),
        ("linger = " + "[" * 100_000, "policy", "TOML"),
        ("linger = 2020-02-30", "policy", "TOML"),
        ("\0", "policy", "TOML"),
    ],
    ids=lambda text: ascii(text)[:20],
)
def test_what_is_no_policy_gets_an_answer(text: str, argument: str, wanted: str) -> None:
    error = complaint_of(text)
    assert (error.argument, error.wanted) == (argument, wanted)


# --- how long what is kept -----------------------------------------------------------------------


def test_how_long_what_is_kept_may_differ_by_platform() -> None:
    policy = Policy.from_toml(
        """
        [retain]
        bodies = "90d"
        people = "2y"
        pictures = 3600

        [platforms.messenger]
        idle_timeout = false

        [platforms.messenger.retain]
        bodies = "12h"
        people = false

        [platforms.sms.retain]
        """
    )
    days = timedelta(days=1)
    everywhere = Retention(bodies=90 * days, people=730 * days, pictures=days / 24)
    assert policy.retention == everywhere
    messenger = Retention(bodies=days / 2, pictures=days / 24)
    assert policy.retention_on == {"messenger": messenger, "sms": everywhere}
    assert policy.of("messenger").idle_timeout is None
    assert policy.forgets
    assert Policy.from_toml("").retention == Retention()
    assert not Policy.from_toml("[platforms.web.retain]\nbodies = false").forgets


@pytest.mark.parametrize(
    ("text", "argument"),
    [
        ("retain = 5", "retain"),
        ("[retain]\nnames = 5", "retain.names"),
        ("[retain]\nbodies = true", "retain.bodies"),
        ('[retain]\nbodies = "90"', "retain.bodies"),
        ('idle_timeout = "90d"', "idle_timeout"),
        ("[platforms]\nweb = 5", "platforms.web"),
        ("[platforms.web.retain]\nbodies = 0", "platforms.web.retain.bodies"),
        ("[platforms.web]\nretain = 5", "platforms.web.retain"),
        ("[platforms.web.retain]\nmax_ahead = 5", "platforms.web.retain.max_ahead"),
    ],
)
def test_what_says_no_length_is_refused(text: str, argument: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Policy.from_toml(text)
    assert caught.value.argument == argument


@pytest.mark.parametrize(
    ("text", "days"), [("24h", 1), ("90d", 90), ("8w", 56), ("2y", 730), ("100y", 36500)]
)
def test_a_length_is_read_as_people_type_it(text: str, days: int) -> None:
    assert length_of(text) == timedelta(days=days)


@pytest.mark.parametrize("text", ["", "90", "0d", "d", "1.5d", "90 d", "-1d", "101y", "9999999d"])
def test_what_is_no_length_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument, match="length: wanted a length such as 12h"):
        length_of(text)


@pytest.mark.parametrize("name", ["bodies", "pictures", "people", "strays"])
def test_nothing_is_kept_for_no_time(name: str) -> None:
    with pytest.raises(InvalidArgument, match=name):
        Retention(**{name: timedelta()})
