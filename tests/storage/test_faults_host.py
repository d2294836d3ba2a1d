"""The connection is lost in the host's transaction: the host rolls back, nothing is written."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

from sermo_fsm import AsyncChatEngine, ChatEngine, StoreUnavailable
from tests.databases import async_url
from tests.faults import WRITTEN, Heard, at_statement, check, hand_in, in_order, kill_all, story
from tests.proxy import Cut, Proxy
from tests.support import USER

ORDERS = sa.Table("orders", sa.MetaData(), sa.Column("id", sa.Integer, primary_key=True))
SERVED = [pytest.param(kind, marks=pytest.mark.service) for kind in ("postgresql", "mysql")]


@pytest.fixture(params=SERVED)
def kind(request: pytest.FixtureRequest) -> str:
    """Those with a network in between."""
    name: str = request.param
    return name


@pytest.fixture
def host(kind_url: sa.URL) -> Iterator[sa.Engine]:
    """The host's own engine, with a table of its own."""
    engine = sa.create_engine(kind_url)
    ORDERS.metadata.create_all(engine)
    yield engine
    engine.dispose()


def orders(host: sa.Engine) -> list[int]:
    with host.connect() as connection:
        return list(connection.execute(sa.select(ORDERS.c.id)).scalars())


def test_killed_at_any_statement_the_host_is_told_and_rolls_back(
    host: sa.Engine, kind_url: sa.URL
) -> None:
    chats = ChatEngine(host)
    heard = Heard(chats)
    killed, number, user = True, 0, ""
    while killed:
        number += 1
        user = f"user-{number}"
        with host.connect() as connection:
            connection.execute(ORDERS.insert(), {"id": number})
            with at_statement(chats, number, lambda: kill_all(kind_url)) as seen:
                killed = False
                with suppress(StoreUnavailable):
                    killed = True
                    chats.handle_many(story(user), connection=connection)
                    killed = False
            assert killed is (len(seen) >= number)
            if killed:
                connection.rollback()
                assert in_order(chats, user) == []
                # The same connection of the host's is good for another try.
                connection.execute(ORDERS.insert(), {"id": -number})
            connection.commit()
        assert heard.of(user) == (0 if killed else 5)
    assert number > 5
    assert sorted(orders(host)) == [*range(1 - number, 0), number]
    check(chats, user)
    assert chats.verify().ok


def test_a_host_that_does_not_listen_cannot_commit_the_half_of_it(
    host: sa.Engine, kind_url: sa.URL
) -> None:
    chats = ChatEngine(host)
    heard = Heard(chats)
    with host.connect() as connection:
        connection.execute(ORDERS.insert(), {"id": 1})
        chats.handle_many(story(USER)[:2], connection=connection)
        kill_all(kind_url)
        with pytest.raises(StoreUnavailable):
            chats.handle_many(story(USER)[2:], connection=connection)
        with pytest.raises(sa.exc.SQLAlchemyError):
            connection.commit()
        connection.rollback()
    assert orders(host) == []
    assert in_order(chats, USER) == []
    assert heard.rows == []


@pytest.mark.parametrize("when", Cut)
def test_when_the_hosts_own_commit_is_lost_no_hook_fires(kind_url: sa.URL, when: Cut) -> None:
    with Proxy(kind_url.host or "127.0.0.1", kind_url.port or 0) as proxy:
        far = kind_url.set(host="127.0.0.1", port=proxy.port)
        if far.get_backend_name() == "postgresql":
            far = far.update_query_dict({"sslmode": "disable", "gssencmode": "disable"})
        host = sa.create_engine(far)
        chats = ChatEngine(host)
        heard = Heard(chats)
        with host.connect() as connection:
            chats.handle_many(story(USER), connection=connection)
            proxy.cut(when, lambda request: request.rstrip(b"\0").endswith(b"COMMIT"))
            with pytest.raises(sa.exc.DBAPIError):
                connection.commit()
        assert proxy.disarm()
        assert heard.rows == []
        outcomes = hand_in(chats, "handle_many", story(USER))
        assert (outcomes == WRITTEN) is (when is Cut.BEFORE)
        check(chats, USER)
        host.dispose()


def test_likewise_for_asyncio(kind_url: sa.URL) -> None:
    async def main() -> None:
        host = create_async_engine(async_url(kind_url))
        chats = AsyncChatEngine(host)
        heard: list[Any] = []
        chats.after_commit(heard.append)
        async with host.connect() as connection:
            await chats.handle_many(story(USER)[:2], connection=connection)
            await asyncio.to_thread(kill_all, kind_url)
            with pytest.raises(StoreUnavailable):
                await chats.handle_many(story(USER)[2:], connection=connection)
            await connection.rollback()
            assert heard == []
            receipts = await chats.handle_many(story(USER), connection=connection)
            assert [receipt.outcome for receipt in receipts] == WRITTEN
            await connection.commit()
        assert len(heard) == 5
        assert (await chats.verify()).ok
        await host.dispose()

    asyncio.run(main())
