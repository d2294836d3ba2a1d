"""What the numbers of the databases mean to us, also those that no test can bring about at will."""

import sqlite3

import psycopg
import pytest
import sqlalchemy as sa

from sermo_fsm.storage.backends import ErrorKind, backend_named


def of(name: str, error: BaseException) -> ErrorKind:
    return backend_named(sa.make_url(f"{name}://").get_dialect()().name).classify(error)


@pytest.mark.parametrize(
    ("state", "verdict"),
    [
        ("23505", ErrorKind.UNIQUE_VIOLATION),
        ("40001", ErrorKind.SERIALIZATION_FAILURE),
        ("40P01", ErrorKind.BUSY),
        ("55P03", ErrorKind.BUSY),
        ("53300", ErrorKind.BUSY),
        ("57P01", ErrorKind.CONNECTION_LOST),
        ("57P03", ErrorKind.CONNECTION_LOST),
        ("08006", ErrorKind.CONNECTION_LOST),
        ("42P01", ErrorKind.MISSING_TABLE),
        ("53100", ErrorKind.OTHER),
    ],
)
def test_states_of_postgresql(state: str, verdict: ErrorKind) -> None:
    assert of("postgresql+psycopg", psycopg.errors.lookup(state)()) is verdict


@pytest.mark.parametrize(
    ("number", "verdict"),
    [
        (1062, ErrorKind.UNIQUE_VIOLATION),
        (1020, ErrorKind.SERIALIZATION_FAILURE),
        (1213, ErrorKind.BUSY),
        (1205, ErrorKind.BUSY),
        (2013, ErrorKind.CONNECTION_LOST),
        (1053, ErrorKind.CONNECTION_LOST),
        (1146, ErrorKind.MISSING_TABLE),
        (1114, ErrorKind.OTHER),
    ],
)
@pytest.mark.parametrize("name", ["mysql+pymysql", "mariadb+pymysql"])
def test_numbers_of_mysql(name: str, number: int, verdict: ErrorKind) -> None:
    assert of(name, Exception(number, "so it is")) is verdict


def test_what_says_no_number_is_refused() -> None:
    assert of("postgresql+psycopg", psycopg.OperationalError("so it is")) is ErrorKind.OTHER
    assert of("mysql+pymysql", Exception()) is ErrorKind.OTHER
    assert of("sqlite", sqlite3.OperationalError("so it is")) is ErrorKind.OTHER
