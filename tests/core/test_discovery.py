"""The asker's half of discovery: questions, and topics watched."""

from __future__ import annotations

from typing import Any

import pytest

from actrzmq.core.discovery import ANSWER_WITHIN, BACK_WITHIN, Change, Discovery, Watched
from actrzmq.core.failures import failure_of
from actrzmq.core.turn import Turn
from actrzmq.errors import ActrNotFound, ActrOverloaded, ActrTransportError
from actrzmq.identity import ActrId, ActrType, Serial
from actrzmq.wire.messages import (
    Changed,
    Discover,
    Found,
    Instance,
    NotFound,
    NotYet,
    NoWatch,
    Reason,
    Unwatch,
    Watch,
    Watching,
)

ECHO = ActrType("acme", "Echo")
LEASE = 10_000


def instance(number: int) -> Instance:
    return Instance(ActrId(Serial(number), 0, ECHO))


class Asker:
    """A `Discovery`, and what it tells its shell."""

    def __init__(self) -> None:
        self.discovery = Discovery()
        self.turn = Turn()

    def ask(self, timeout: int = 0, now: int = 0, patience: int = 0) -> int:
        query, ask = self.discovery.discover(
            ECHO, "", all=False, timeout=timeout, patience=patience, waiter="asker", now=now
        )
        assert ask == Discover(query, ECHO, "", False)
        return query

    def hear(self, answer: Found | NotFound | NotYet, now: int = 0) -> list[Any]:
        return self.discovery.answered(answer, LEASE, self.turn, now)

    def watch(self, *instances: Instance) -> Watched:
        watched, ask = self.discovery.watch(ECHO, "", "watcher")
        assert ask == Watch(watched.query, ECHO, "")
        self.see(Watching(watched.query, 0, instances))
        self.turn = Turn()
        return watched

    def see(self, snapshot: Watching, now: int = 0) -> list[Any]:
        return self.discovery.snapshot(snapshot, LEASE, self.turn, now)

    def restart(self, watched: Watched, *instances: Instance, expected: bool = True, now: int = 0) -> None:
        """The broker restarts, and these are back when it answers."""
        assert watched.watch in list(self.discovery.again())
        self.see(Watching(watched.query, 0, instances, expected), now)

    def tick(self, now: int) -> list[Any]:
        return self.discovery.tick(self.turn, 0, now)

    def change(self, watched: Watched, version: int, number: int, reason: Reason | None = None) -> list[Any]:
        return self.discovery.changed(Changed(watched.query, version, instance(number), reason), self.turn)

    def wait(self, to: int, away_since: int | None = None) -> None:
        """Tick as a shell would, until `to`."""
        while (due := self.discovery.next_deadline()) is not None and due <= to:
            self.discovery.tick(self.turn, 0 if away_since is None else due - away_since, due)

    @property
    def outcomes(self) -> list[Any]:
        return [outcome for _, outcome in self.turn.resolve]


def test_what_was_found_ends_the_question() -> None:
    asker = Asker()
    query = asker.ask()
    assert asker.hear(Found(query, (instance(1),))) == []
    assert asker.outcomes == [(instance(1),)]
    assert asker.hear(Found(query, (instance(2),))) == []
    assert len(asker.outcomes) == 1


@pytest.mark.parametrize(("hidden", "words"), [(0, "`actr ps` shows who does"), (2, "2 are stopping")])
def test_who_does_not_wait_is_told_at_once_that_there_is_nobody(hidden: int, words: str) -> None:
    asker = Asker()
    asker.hear(NotFound(asker.ask(), hidden))
    (error,) = asker.outcomes
    assert isinstance(error, ActrNotFound)
    assert words in str(error)


def test_who_waits_watches_until_the_first_instance_is_up() -> None:
    asker = Asker()
    query = asker.ask(timeout=5_000)
    assert asker.hear(NotFound(query)) == [Watch(query, ECHO, "")]
    assert asker.see(Watching(query, 0, ())) == []
    assert asker.outcomes == []
    said = asker.discovery.changed(Changed(query, 1, instance(3)), asker.turn)
    assert said == [Unwatch(query)]
    assert asker.outcomes == [(instance(3),)]


def test_who_waits_and_finds_somebody_in_the_snapshot_is_done() -> None:
    asker = Asker()
    query = asker.ask(timeout=5_000)
    asker.hear(NotFound(query))
    assert asker.see(Watching(query, 0, (instance(4),))) == [Unwatch(query)]
    assert asker.outcomes == [(instance(4),)]


def test_all_who_wait_for_the_same_share_a_watch_and_what_it_finds() -> None:
    asker = Asker()
    queries = [asker.ask(timeout=5_000) for _ in range(3)]
    assert [asker.hear(NotFound(query)) for query in queries] == [[Watch(queries[0], ECHO, "")], [], []]
    assert asker.discovery.cancel(queries[0]) == []
    said = asker.discovery.changed(Changed(queries[0], 1, instance(3)), asker.turn)
    assert said == [Unwatch(queries[0])]
    assert asker.outcomes == [(instance(3),)] * 2
    another = asker.ask(timeout=5_000)
    assert asker.hear(NotFound(another)) == [Watch(another, ECHO, "")]


def test_the_last_one_whose_time_is_up_ends_the_watch_that_it_shared() -> None:
    asker = Asker()
    short, long = asker.ask(timeout=500), asker.ask(timeout=900)
    asker.hear(NotFound(short))
    asker.hear(NotFound(long))
    assert asker.discovery.tick(asker.turn, 0, 520) == []
    assert asker.discovery.tick(asker.turn, 0, 920) == [Unwatch(short)]
    assert len(asker.outcomes) == 2


def test_who_hears_late_that_somebody_was_there_waits_no_more() -> None:
    asker = Asker()
    query = asker.ask(timeout=500)
    asker.hear(NotFound(query))
    assert asker.hear(Found(query, (instance(1),))) == [Unwatch(query)]
    assert asker.see(Watching(query, 0, (instance(1),))) == [Unwatch(query)]
    assert asker.outcomes == [(instance(1),)]


def test_those_who_wait_ask_once_more_after_a_registration() -> None:
    asker = Asker()
    queries = [asker.ask(timeout=5_000) for _ in range(2)]
    for query in queries:
        asker.hear(NotFound(query))
    assert list(asker.discovery.again()) == [Discover(query, ECHO, "", False) for query in queries]
    assert [asker.hear(NotFound(query)) for query in queries] == [[Watch(queries[0], ECHO, "")], []]


def test_a_watch_that_is_refused_is_told_to_all_who_wait_and_to_who_watches() -> None:
    asker = Asker()
    queries = [asker.ask(timeout=5_000) for _ in range(2)]
    for query in queries:
        asker.hear(NotFound(query))
    watched = asker.watch()
    for query in (queries[0], watched.query):
        asker.discovery.refused(NoWatch(query, failure_of(ActrOverloaded("too many"))), asker.turn)
    assert [type(outcome) for outcome in asker.outcomes] == [ActrOverloaded] * 3
    assert watched.is_stale
    assert list(asker.discovery.again()) == [watched.watch]


def test_who_waits_in_vain_is_told_when_the_time_is_up() -> None:
    asker = Asker()
    query = asker.ask(timeout=500)
    asker.hear(NotFound(query))
    assert asker.discovery.tick(asker.turn, 0, 490) == []
    assert asker.discovery.tick(asker.turn, 0, 520) == [Unwatch(query)]
    assert isinstance(asker.outcomes[0], ActrNotFound)


def test_nobody_yet_is_waited_for_one_lease_even_by_who_would_not_wait() -> None:
    asker = Asker()
    query = asker.ask(timeout=0)
    assert asker.hear(NotYet(query)) == [Watch(query, ECHO, "")]
    assert asker.discovery.tick(asker.turn, 0, LEASE - 1) == []
    assert asker.outcomes == []
    asker.discovery.tick(asker.turn, 0, LEASE + 20)
    assert isinstance(asker.outcomes[0], ActrNotFound)


def test_a_broker_that_does_not_answer_ends_the_question_in_words() -> None:
    asker = Asker()
    asker.ask(timeout=500)
    asker.wait(to=500 + ANSWER_WITHIN - 1)
    assert asker.outcomes == []
    asker.wait(to=500 + ANSWER_WITHIN + 20)
    assert isinstance(asker.outcomes[0], ActrTransportError)
    assert "does not answer" in str(asker.outcomes[0])


@pytest.mark.parametrize("timeout", [0, 500, 3_000])
def test_with_the_broker_away_a_question_ends_when_its_time_is_up(timeout: int) -> None:
    asker = Asker()
    asker.ask(timeout=timeout)
    asker.wait(to=timeout - 1, away_since=-BACK_WITHIN)
    assert asker.outcomes == []
    asker.wait(to=timeout + 20, away_since=-BACK_WITHIN)
    assert isinstance(asker.outcomes[0], ActrTransportError)
    assert "no connection to the broker" in str(asker.outcomes[0])


def test_a_broker_that_is_back_in_a_moment_is_waited_for_even_by_who_would_not_wait() -> None:
    asker = Asker()
    query = asker.ask()
    asker.wait(to=BACK_WITHIN - 1, away_since=0)
    assert asker.outcomes == []
    assert list(asker.discovery.again()) == [Discover(query, ECHO, "", False)]
    asker.wait(to=BACK_WITHIN + 500)
    assert asker.outcomes == []
    asker.hear(Found(query, (instance(1),)))
    assert asker.outcomes == [(instance(1),)]


def test_a_broker_that_goes_away_while_it_owes_an_answer_is_given_up_soon() -> None:
    asker = Asker()
    asker.ask()
    asker.wait(to=2_000)
    asker.wait(to=2_000 + BACK_WITHIN - 1, away_since=2_000)
    assert asker.outcomes == []
    asker.wait(to=2_000 + 2 * BACK_WITHIN, away_since=2_000)
    assert isinstance(asker.outcomes[0], ActrTransportError)


def test_patience_is_for_the_broker_and_not_for_an_instance() -> None:
    asker = Asker()
    query = asker.ask(patience=20_000)
    asker.wait(to=19_999, away_since=-BACK_WITHIN)
    assert asker.outcomes == []
    list(asker.discovery.again())
    asker.hear(NotFound(query), 20_000)
    assert isinstance(asker.outcomes[0], ActrNotFound)


def test_a_question_that_was_cancelled_is_answered_to_nobody() -> None:
    asker = Asker()
    query = asker.ask(timeout=500)
    assert asker.discovery.cancel(query) == []
    waiting = asker.ask(timeout=500)
    asker.hear(NotFound(waiting))
    assert asker.discovery.cancel(waiting) == [Unwatch(waiting)]
    asker.hear(Found(query, (instance(1),)))
    assert asker.outcomes == []


def test_a_question_that_has_ended_leaves_nothing_to_be_looked_at() -> None:
    asker = Asker()
    day = 24 * 60 * 60 * 1000
    asker.hear(Found(asker.ask(timeout=day), (instance(1),)))
    asker.hear(NotFound(asker.ask(), 0))
    asker.discovery.cancel(asker.ask(timeout=day))
    waiting = asker.ask(timeout=day)
    asker.hear(NotFound(waiting, 0), now=1_000)
    asker.see(Watching(waiting, 0, (instance(1),)), now=2_000)
    assert len(asker.discovery._deadlines) == 0


def test_open_questions_and_watches_are_said_again_after_a_registration() -> None:
    asker = Asker()
    query = asker.ask(timeout=500)
    asker.hear(NotFound(query))
    watched = asker.watch()
    assert list(asker.discovery.again()) == [Discover(query, ECHO, "", False), watched.watch]


def test_a_watch_tells_of_what_comes_and_goes() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.change(watched, 1, 2)
    asker.change(watched, 2, 1, Reason.LEASE)
    assert asker.outcomes == [Change(instance(2).id, True), Change(instance(1).id, False, "LEASE")]
    assert set(watched.instances) == {2}


def test_a_change_that_is_known_already_is_no_news() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.change(watched, 1, 1)
    asker.change(watched, 2, 9, Reason.LEASE)
    assert asker.outcomes == []


def test_a_gap_asks_for_a_new_snapshot_and_believes_nothing_until_then() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    assert asker.change(watched, 2, 2) == [watched.watch]
    assert asker.change(watched, 3, 3) == []
    assert asker.outcomes == []
    assert set(watched.instances) == {1}


def test_a_new_snapshot_tells_what_has_changed_since_the_old_one() -> None:
    asker = Asker()
    watched = asker.watch(instance(1), instance(2))
    asker.change(watched, 5, 3)
    asker.see(Watching(watched.query, 7, (instance(2), instance(3))))
    assert asker.outcomes == [Change(instance(1).id, False, "UNKNOWN"), Change(instance(3).id, True)]
    asker.change(watched, 8, 4)
    assert set(watched.instances) == {2, 3, 4}


def test_changes_of_an_old_connection_do_not_count_after_a_registration() -> None:
    asker = Asker()
    watched = asker.watch()
    list(asker.discovery.again())
    assert asker.change(watched, 1, 1) == []
    assert watched.instances == {}


def test_who_is_missing_after_a_restart_of_the_broker_and_expected_is_not_down() -> None:
    asker = Asker()
    watched = asker.watch(instance(1), instance(2))
    asker.restart(watched, instance(2))
    assert asker.outcomes == []
    assert (set(watched.instances), set(watched.missing)) == ({2}, {1})
    asker.change(watched, 1, 1)
    assert asker.outcomes == []
    assert (set(watched.instances), set(watched.missing)) == ({1, 2}, set())
    asker.wait(to=3 * LEASE)
    assert asker.outcomes == []


def test_of_who_is_missing_after_a_lease_the_broker_is_asked_and_tells() -> None:
    asker = Asker()
    watched = asker.watch(instance(1), instance(2))
    asker.restart(watched, instance(2), now=1_000)
    assert asker.tick(1_000 + LEASE - 1) == []
    due = asker.discovery.next_deadline()
    assert due is not None
    assert asker.tick(due) == [watched.watch]
    assert asker.outcomes == []
    asker.see(Watching(watched.query, 0, (instance(2),)), due)
    assert asker.outcomes == [Change(instance(1).id, False, "LEASE")]
    assert watched.missing == {}
    assert asker.discovery.next_deadline() is None


def test_a_broker_that_expects_for_longer_is_asked_again_a_lease_later() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.restart(watched)
    assert asker.tick(LEASE + 20) == [watched.watch]
    asker.see(Watching(watched.query, 0, (), expected=True), LEASE + 20)
    assert asker.tick(2 * LEASE + 19) == []
    assert asker.tick(2 * LEASE + 40) == [watched.watch]
    assert asker.outcomes == []


def test_who_is_missing_and_not_expected_is_down_at_once() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.restart(watched, expected=False)
    assert asker.outcomes == [Change(instance(1).id, False, "UNKNOWN")]
    assert asker.discovery.next_deadline() is None


def test_who_is_missing_and_said_to_be_down_is_told_so_once() -> None:
    asker = Asker()
    watched = asker.watch(instance(1), instance(2))
    asker.restart(watched)
    asker.change(watched, 1, 1, Reason.DRAINING)
    asker.change(watched, 2, 1, Reason.DEREGISTERED)
    assert asker.outcomes == [Change(instance(1).id, False, "DRAINING")]
    asker.see(Watching(watched.query, 0, ()), LEASE)
    assert asker.outcomes[1:] == [Change(instance(2).id, False, "LEASE")]


def test_who_comes_back_as_another_one_is_up_and_the_former_one_down_after_the_lease() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.restart(watched)
    asker.change(watched, 1, 7)
    assert asker.outcomes == [Change(instance(7).id, True)]
    assert asker.tick(LEASE + 20) == [watched.watch]
    asker.see(Watching(watched.query, 0, (instance(7),)), LEASE + 20)
    assert asker.outcomes[1:] == [Change(instance(1).id, False, "LEASE")]


def test_a_second_restart_within_the_lease_gives_another_lease() -> None:
    asker = Asker()
    watched = asker.watch(instance(1), instance(2))
    asker.restart(watched, instance(2))
    asker.restart(watched, instance(1), now=6_000)
    assert (set(watched.instances), set(watched.missing)) == ({1}, {2})
    assert asker.tick(LEASE + 20) == []
    assert asker.tick(6_000 + LEASE + 20) == [watched.watch]
    asker.see(Watching(watched.query, 0, (instance(1),)), 6_000 + LEASE + 20)
    assert asker.outcomes == [Change(instance(2).id, False, "LEASE")]


def test_a_broker_that_is_away_again_when_the_lease_is_over_is_asked_once_it_is_back() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.restart(watched)
    list(asker.discovery.again())
    assert asker.tick(LEASE + 20) == []
    asker.see(Watching(watched.query, 0, (instance(1),)), LEASE + 40)
    assert asker.outcomes == []
    assert (set(watched.instances), watched.missing) == ({1}, {})


def test_a_gap_while_somebody_is_missing_tells_of_no_down_either() -> None:
    asker = Asker()
    watched = asker.watch(instance(1), instance(2))
    asker.restart(watched)
    assert asker.change(watched, 2, 1) == [watched.watch]
    asker.see(Watching(watched.query, 0, (instance(1),), expected=True), 500)
    assert asker.outcomes == []
    assert (set(watched.instances), set(watched.missing)) == ({1}, {2})
    assert asker.tick(LEASE + 20) == []
    assert asker.tick(LEASE + 520) == [watched.watch]


def test_a_watch_that_ended_while_somebody_was_missing_asks_no_more() -> None:
    asker = Asker()
    watched = asker.watch(instance(1))
    asker.restart(watched)
    assert asker.discovery.unwatch(watched) == [Unwatch(watched.query)]
    assert asker.tick(LEASE + 20) == []
    assert asker.outcomes == []


def test_a_watch_made_while_the_broker_expects_others_tells_who_is_there_and_misses_nobody() -> None:
    asker = Asker()
    watched, _ = asker.discovery.watch(ECHO, "", "watcher")
    asker.see(Watching(watched.query, 0, (instance(1),), expected=True))
    asker.change(watched, 1, 2)
    assert asker.outcomes == [Change(instance(1).id, True), Change(instance(2).id, True)]
    assert watched.missing == {}
    assert asker.discovery.next_deadline() is None


def test_a_watch_that_ended_is_ended_at_the_broker_too() -> None:
    asker = Asker()
    watched = asker.watch()
    assert asker.discovery.unwatch(watched) == [Unwatch(watched.query)]
    assert asker.discovery.unwatch(watched) == []
    assert asker.see(Watching(watched.query, 1, ())) == [Unwatch(watched.query)]
    assert asker.change(watched, 2, 1) == []


def test_a_node_that_stops_ends_every_question() -> None:
    asker = Asker()
    asker.ask(timeout=500)
    asker.discovery.fail_all(ActrTransportError("stopped"), asker.turn)
    assert isinstance(asker.outcomes[0], ActrTransportError)
    asker.discovery.tick(asker.turn, 0, 100_000)
    assert len(asker.outcomes) == 1
