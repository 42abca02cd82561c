"""Who may come back after a restart of the broker."""

from __future__ import annotations

from actrzmq.core.expected import Expected, Remembered
from actrzmq.core.registry import Topic
from actrzmq.identity import ActrId, ActrType, Serial

ECHO, CLOCK = ActrType("acme", "Echo"), ActrType("acme", "Clock")
BY_TYPE, BY_NAME = Topic(0, ECHO, ""), Topic(0, None, "echo")


class Realm(int):
    """A realm that counts how often it is compared with another."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        Realm.compared += 1
        return int(self) == other

    def __hash__(self) -> int:
        return int.__hash__(self)


def remembered(serial: int, type: ActrType = ECHO, name: str = "echo") -> Remembered:
    return Remembered(ActrId(Serial(serial), 0, type), name)


def expected(*nodes: Remembered) -> Expected:
    all_of_them = Expected()
    all_of_them.begin(nodes, 1_000)
    return all_of_them


def test_a_topic_is_expected_until_the_last_of_its_nodes_is_back() -> None:
    nodes = expected(remembered(1), remembered(2), remembered(3, CLOCK, "clock"))
    told = []
    for serial in (1, 1, 3, 2):
        nodes.came_back(Serial(serial))
        told.append((nodes.has(BY_TYPE), nodes.has(BY_NAME)))
    assert told == [(True, True), (True, True), (True, True), (False, False)]


def test_no_topic_is_expected_once_all_are_given_up() -> None:
    nodes = expected(remembered(1))
    nodes.give_up()
    assert not nodes.has(BY_TYPE)
    assert not nodes.has(BY_NAME)


def test_one_of_another_realm_or_that_only_a_peer_named_is_not_expected_under_a_topic() -> None:
    nodes = expected(remembered(1))
    nodes.add(Serial(2), waiting=Serial(3))
    nodes.add(Serial(1), waiting=Serial(3))
    nodes.came_back(Serial(1))
    nodes.came_back(Serial(2))
    assert not nodes.has(BY_TYPE)
    assert not expected(remembered(1)).has(Topic(1, ECHO, ""))


def test_to_ask_for_a_topic_looks_at_no_node_that_is_expected() -> None:
    """All that come back ask for some: were each answer a search, a restart with 4,000 nodes would take seconds."""
    nodes = expected(*(remembered(serial, CLOCK, "clock") for serial in range(1_000)))
    Realm.compared = 0
    assert not nodes.has(Topic(Realm(0), ECHO, ""))
    assert Realm.compared < 10
