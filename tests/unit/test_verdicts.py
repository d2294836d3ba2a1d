"""What the numbers of the databases mean to us, also those that no test can bring about at will."""

import sqlite3

import psycopg
import pytest
import sqlalchemy as sa

from sermo_fsm.storage.backends import Verdict, driver_of


def of(name: str, error: BaseException) -> Verdict:
    return driver_of(sa.make_url(f"{name}://").get_dialect()()).verdict(error)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("23505", Verdict.LOST),
        ("40001", Verdict.STALE),
        ("40P01", Verdict.BUSY),
        ("55P03", Verdict.BUSY),
        ("53300", Verdict.BUSY),
        ("57P01", Verdict.GONE),
        ("57P03", Verdict.GONE),
        ("08006", Verdict.GONE),
        ("42P01", Verdict.NO_TABLES),
        ("53100", Verdict.REFUSED),
    ],
)
def test_states_of_postgresql(state: str, verdict: Verdict) -> None:
    assert of("postgresql+psycopg", psycopg.errors.lookup(state)()) is verdict


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (1062, Verdict.LOST),
        (1020, Verdict.STALE),
        (1213, Verdict.BUSY),
        (1205, Verdict.BUSY),
        (2013, Verdict.GONE),
        (1053, Verdict.GONE),
        (1146, Verdict.NO_TABLES),
        (1114, Verdict.REFUSED),
    ],
)
@pytest.mark.parametrize("name", ["mysql+pymysql", "mariadb+pymysql"])
def test_numbers_of_mysql(name: str, number: int, verdict: Verdict) -> None:
    assert of(name, Exception(number, "so it is")) is verdict


def test_what_says_no_number_is_refused() -> None:
    assert of("postgresql+psycopg", psycopg.OperationalError("so it is")) is Verdict.REFUSED
    assert of("mysql+pymysql", Exception()) is Verdict.REFUSED
    assert of("sqlite", sqlite3.OperationalError("so it is")) is Verdict.REFUSED
