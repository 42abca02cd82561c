"""The thread that watches the event loop, and what becomes of it when it fails itself."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest

from actrzmq.net import sockets, watchdog
from actrzmq.net.clock import boottime_ms
from actrzmq.net.watchdog import Watchdog
from tests.net.peers import Broker, wait_until

TOKEN = b"0123456789abcdef"


@pytest.fixture
def broker() -> Iterator[Broker]:
    with Broker() as running:
        yield running


@pytest.fixture
def dog(broker: Broker, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watchdog]:
    """One that looks often, at a loop that has not turned for long: nobody tells it that one does."""
    monkeypatch.setattr(watchdog, "EVERY", 5)
    monkeypatch.setattr(watchdog, "LAG", 0)
    monkeypatch.setattr(watchdog, "REPORT_EVERY", 10)
    dog = Watchdog(broker.endpoint, lambda: TOKEN)
    yield dog
    dog.stop()


class Failing:
    """Makes DEALERs, the first few of which can't be had; remembers them."""

    def __init__(self, failures: float) -> None:
        self.failures = failures
        self.made: list[Any] = []
        self._make = sockets.dealer

    def __call__(self) -> Any:
        if self.failures > 0:
            self.failures -= 1
            raise OSError("too many open files")
        self.made.append(self._make())
        return self.made[-1]


def test_a_loop_that_does_not_turn_is_reported_on_a_connection_of_its_own(dog: Watchdog, broker: Broker) -> None:
    dog.start()
    broker.wait_counted("dropped.stranger", 2)  # that it is for a node unknown is of no matter here


def test_a_watchdog_that_fails_says_so_once_and_goes_on(
    dog: Watchdog, broker: Broker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(sockets, "dealer", Failing(3))
    dog.start()
    broker.wait_counted("dropped.stranger")
    assert dog.counters["errors"] == 3
    (record,) = [record for record in caplog.records if record.exc_info]
    assert record.levelno == logging.ERROR
    assert isinstance(record.exc_info[1], OSError)  # type: ignore[index]


def test_a_watchdog_that_fails_still_knows_that_the_process_runs(
    dog: Watchdog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sockets, "dealer", Failing(float("inf")))
    dog.start()
    wait_until(lambda: dog.counters["errors"] > 20, "twenty errors")
    dog.take_gap(boottime_ms())
    errors = dog.counters["errors"]
    wait_until(lambda: dog.counters["errors"] > errors + 20, "twenty more")
    assert dog.take_gap(boottime_ms()) < 1_000


def test_a_failure_closes_the_connection_and_the_next_look_makes_another(
    dog: Watchdog, broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    dealers = Failing(0)
    monkeypatch.setattr(sockets, "dealer", dealers)
    monkeypatch.setattr(dog, "_token", iter([TOKEN, TOKEN]).__next__)
    dog.start()
    wait_until(lambda: dog.counters["errors"] >= 3, "three errors")
    dog.stop()
    assert len(dealers.made) >= 3
    assert all(dealer.closed for dealer in dealers.made)
