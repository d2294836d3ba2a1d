"""What Prometheus reads is what the wall shows."""

from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from sermo_fsm import ChatEngine, StoreUnavailable
from tests.board.support import ASKS, EVIL, Site, in_queue, said


def read(site: Site) -> dict[str, Any]:
    answer = site.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_is_live_and_of_the_last_hour(site: Site, writer: ChatEngine) -> None:
    in_queue(writer, "anna", 90)
    in_queue(writer, "bert", 30)
    said(writer, "cia", ("inbound", ASKS, 10))
    said(writer, "dora", ("inbound", ASKS, 4000))
    writer.handle("inbound", b"nonsense")
    found = read(site)

    assert found["sermo_board_up"] == 1
    assert found["sermo_board_chats web queued"] == 2
    assert found["sermo_board_chats web bot"] == 2
    assert found["sermo_board_chats web with_agent"] == 0
    assert found["sermo_board_waits_over_target web"] == 1
    assert found["sermo_board_longest_wait_seconds web"] >= 90
    assert found["sermo_board_unanswered web"] == 1
    assert found["sermo_board_overdue web"] == 1
    assert found["sermo_board_lag_seconds"] >= 0
    assert found["sermo_board_last_hour web opened"] == 3
    assert found["sermo_board_last_hour  invalid"] == 1
    assert found["sermo_board_polls_total"] == 1
    assert found["sermo_board_viewers"] == 0
    assert found["sermo_board_as_of_seconds"] > 1.7e9


def test_names_of_strangers_do_no_harm(site: Site, writer: ChatEngine) -> None:
    said(writer, "anna", ("inbound", {**ASKS, "platformId": EVIL + "\n\\"}, 10))

    assert read(site)[f"sermo_board_chats {EVIL}\n\\ bot"] == 1


def test_where_nothing_is_live_there_is_no_lag(site: Site) -> None:
    found = read(site)

    assert "sermo_board_lag_seconds" not in found
    assert found["sermo_board_up"] == 1


def test_where_the_database_is_away(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(**_: Any) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr(site.engine, "overview", fail)
    found = read(site)

    assert (found["sermo_board_up"], found["sermo_board_poll_failures_total"]) == (0, 1)
    assert "sermo_board_as_of_seconds" not in found


def test_what_was_not_counted_yet_is_left_out(
    site: Site, writer: ChatEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(**_: Any) -> None:
        raise StoreUnavailable("gone")

    site.get(f"/chat/{in_queue(writer, 'anna')}")  # for which the hour is not counted
    monkeypatch.setattr(site.engine, "overview", fail)
    found = read(site)

    assert found["sermo_board_chats web queued"] == 1
    assert not [name for name in found if name.startswith("sermo_board_last_hour")]
