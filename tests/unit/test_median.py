"""The median in little memory: exact while there are few, close however many there are."""

import random
import statistics
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sermo_fsm.analysis import median
from sermo_fsm.analysis.median import Median

LENGTHS = st.lists(st.integers(0, 10**15), min_size=1, max_size=200)


def median_of(lengths: list[int]) -> int:
    found = Median()
    for length in lengths:
        found.add(timedelta(microseconds=length))
    assert found.count == len(lengths)
    return found.value() // timedelta(microseconds=1)


@given(LENGTHS)
def test_of_few_it_is_one_of_them_and_exact(lengths: list[int]) -> None:
    assert median_of(lengths) == statistics.median_low(lengths)


@given(LENGTHS, st.integers(1, 100))
def test_a_percentile_is_of_the_nearest_rank_and_the_mean_is_exact(
    lengths: list[int], percent: int
) -> None:
    found = Median()
    for length in lengths:
        found.add(timedelta(microseconds=length))

    value = found.value(percent) // timedelta(microseconds=1)
    assert value in lengths
    assert sum(length < value for length in lengths) * 100 < percent * len(lengths)
    assert sum(length <= value for length in lengths) * 100 >= percent * len(lengths)
    whole = timedelta(microseconds=sum(lengths))
    assert found.mean() == whole / len(lengths)


@given(LENGTHS, st.integers(0, 50))
def test_of_many_it_is_right_to_a_hundredth(lengths: list[int], exact: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(median, "EXACT", exact)
        found = median_of(lengths)
        assert found == median_of(sorted(lengths)) == median_of(sorted(lengths, reverse=True))

    right = statistics.median_low(lengths)
    assert abs(found - right) * 128 <= right


def test_of_very_many_the_memory_is_bounded() -> None:
    dice = random.Random(1)  # noqa: S311 - reproducible on purpose
    found = Median()
    for _ in range(30_000):
        found.add(timedelta(microseconds=round(10 ** dice.uniform(0, 12))))

    assert not found._lengths
    assert found._classes is not None
    assert len(found._classes) < 64 * 40
    assert found.count == found._classes.total() == 30_000


def test_up_to_the_bound_it_is_exact() -> None:
    lengths = [number * 1001 for number in range(median.EXACT)]

    assert median_of(lengths) == statistics.median_low(lengths)
    assert median_of([*lengths, 0]) != statistics.median_low([*lengths, 0])
