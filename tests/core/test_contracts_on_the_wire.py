"""Contracts between nodes and a broker, on a wire that loses and delays, and over the broker's restarts."""

from __future__ import annotations

import random
from typing import Any

import pytest

from actrzmq.core.broker import BrokerLimits
from actrzmq.core.catalogue import VERSION_BYTES
from actrzmq.core.publishing import ANSWER_WITHIN, AT_ONCE, PAUSE
from actrzmq.core.session import Session
from actrzmq.errors import ActrConfigError, ActrNotFound, ActrOverloaded, ActrTransportError
from actrzmq.identity import ActrType
from actrzmq.testing.simulation import SimNode, World
from actrzmq.wire.messages import Describe, Listed, ListNodes, Publish, Spec, State

ECHO = ActrType("acme", "Echo")
A, B, C = (f"service_semantic:{letter * 64}" for letter in "abc")
LIMITS = BrokerLimits(contracts=1 << 20)


class Library:
    """A world whose broker keeps contracts, and a tool that looks around in it."""

    def __init__(self, limits: BrokerLimits = LIMITS, seed: int = 1) -> None:
        self.world = World(seed, limits)
        self.broker = self.world.broker
        self.tool = self.world.node("tool", "Tool", visible=False, visiting=True)
        self.world.run(200)

    def server(self, name: str = "echo", fingerprint: str = A, body: bytes | None = None, **fields: Any) -> SimNode:
        """A node that publishes a contract."""
        contract = fingerprint.encode() if body is None else body
        return self.world.node(name, "Echo", contract=contract, fingerprint=fingerprint, **fields)

    def ask(self, question: Describe | ListNodes, within: int = 10_000) -> Any:
        """Ask, and wait for the answer."""
        answers: list[Any] = []
        self.tool.do(lambda session, now: session.ask(question, within, answers.append, now))
        self.world.run_until(lambda: answers)
        return answers[0]

    def describe(
        self, type: ActrType | None = ECHO, name: str = "", fingerprint: str = "", with_files: bool = True
    ) -> Any:
        """Ask for a contract."""
        return self.ask(Describe(0, type, name, fingerprint, with_files))

    def count(self, name: str) -> int:
        """What the broker has counted of that."""
        return self.broker.core.statistics().get(name, 0)


def test_what_a_server_publishes_is_described_with_its_contents() -> None:
    library = Library()
    library.server(description="says it again", tags=("test",))
    library.world.run(200)
    spec = library.describe()
    assert isinstance(spec, Spec)
    assert spec.body == A.encode()
    facts = spec.facts
    assert (facts.name, facts.type, facts.realm, facts.fingerprint) == ("echo", ECHO, 0, A)
    assert (facts.description, facts.tags, facts.live) == ("says it again", ("test",), 1)


def test_facts_alone_are_told_without_the_contents() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    assert library.describe(with_files=False).body == b""


@pytest.mark.parametrize("size", [100, 64 * 1024, 1024 * 1024 - VERSION_BYTES])
def test_contents_of_any_size_within_the_limit_arrive_whole(size: int) -> None:
    library = Library()
    body = A.encode().ljust(size, b".")
    library.server(body=body)
    library.world.run(200)
    assert library.describe().body == body


def test_contents_travel_once_however_many_publish_them() -> None:
    library = Library()
    for number in range(5):
        library.server(f"echo-{number}")
    library.world.run(1_000)
    assert library.broker.published == [A]
    assert library.describe().facts.live == 1  # of one name; there are five such versions
    assert library.count("contracts") == 5


def test_a_question_that_comes_ahead_of_the_contents_waits_for_them() -> None:
    library = Library()
    library.world.delay = (100, 100)
    library.server()
    library.world.run(150)  # Register is at the broker, nothing more
    assert library.count("contracts.wanted") == 1
    assert library.describe().body == A.encode()


def test_a_publisher_that_dies_when_it_is_asked_is_followed_by_another() -> None:
    library = Library()
    library.world.delay = (50, 50)
    first = library.server("first")
    library.server("second")
    library.world.run(70)  # the first one has been asked, and has not heard of it
    first.kill()
    library.world.run(2_000)
    assert library.broker.published == [A]
    assert library.describe().facts.name == "second"


def test_a_publisher_that_hangs_is_followed_by_another_after_five_seconds() -> None:
    library = Library()
    library.world.delay = (50, 50)
    first = library.server("first")
    library.server("second")
    library.world.run(70)
    first.stop()
    library.world.run(ANSWER_WITHIN - 500)
    assert library.broker.published == []
    library.world.run(1_000)
    assert library.broker.published == [A]
    assert library.count("contracts.not_sent") == 1


def test_contracts_survive_their_publisher_and_the_broker() -> None:
    library = Library()
    server = library.server()
    library.world.run(200)
    server.kill()
    library.world.run(2_000)
    library.broker.kill()
    library.broker.start()
    library.world.run(1_000)
    spec = library.describe()
    assert (spec.body, spec.facts.live) == (A.encode(), 0)
    assert library.broker.published == [A]


def test_a_broker_that_restarts_before_the_contents_came_asks_again() -> None:
    library = Library()
    library.world.delay = (50, 50)
    library.server()
    library.world.run(120)
    library.broker.kill()
    library.broker.start()
    library.world.run(2_000)
    assert library.broker.published == [A]
    assert library.describe().body == A.encode()


def test_a_broker_that_knows_the_contents_from_before_does_not_ask() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    library.broker.kill()
    library.broker.start()
    library.world.run(2_000)
    assert library.broker.published == [A]
    assert library.describe().facts.live == 1


def test_a_publisher_whose_connection_breaks_is_asked_again() -> None:
    library = Library()
    library.world.delay = (50, 50)
    server = library.server()
    library.world.run(120)
    server.reset()
    library.world.run(2_000)
    assert library.describe().body == A.encode()


def test_a_question_outlives_the_brokers_restart() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    library.broker.kill()
    answers: list[Any] = []
    library.tool.do(lambda session, now: session.ask(Describe(0, ECHO), 5_000, answers.append, now))
    library.world.run(300)
    library.broker.start()
    library.world.run_until(lambda: answers)
    assert answers[0].body == A.encode()


def test_without_a_broker_a_question_ends_at_its_deadline() -> None:
    library = Library()
    library.broker.kill()
    began = library.world.now
    assert isinstance(library.ask(ListNodes(0), 1_000), ActrTransportError)
    assert 1_000 <= library.world.now - began <= 1_050


def test_wrong_contents_are_counted_and_not_kept_and_another_is_asked() -> None:
    library = Library()
    library.server("liar", body=b"something else")
    library.world.run(10)
    library.server("honest")
    library.world.run(1_000)
    assert library.count("contracts.wrong") == 1
    assert library.describe().facts.name in {"honest", "liar"}
    assert library.describe().body == A.encode()


def test_where_all_send_wrong_contents_the_reason_is_told_and_they_are_asked_again_later() -> None:
    library = Library()
    library.server(body=b"something else")
    library.world.run(1_000)
    answer = library.describe()
    assert isinstance(answer, ActrTransportError)
    assert "is live, but the broker has not got its contract: wrong contents" in answer.message
    library.world.run(PAUSE)
    assert library.count("contracts.wrong") == 2


def test_a_shelf_that_is_full_is_told_in_words_and_heals_by_itself() -> None:
    library = Library()
    library.broker.shelf.refusal = "disk is full"
    library.server()
    library.world.run(1_000)
    assert "disk is full" in library.describe().message
    assert library.count("contracts.not_kept") == 1
    library.broker.shelf.refusal = ""
    library.world.run(PAUSE)
    assert library.describe().body == A.encode()


def test_contents_whose_publisher_is_gone_before_they_are_kept_belong_to_nobody() -> None:
    library = Library()
    library.broker.shelf.DELAY = 2_000
    server = library.server()
    library.world.run(200)
    server.kill()
    library.world.run(4_000)
    assert library.broker.published == [A]
    assert library.broker.shelf.contents == {}
    assert library.count("contracts.bytes") == 0


def test_contents_that_the_shelf_has_lost_are_asked_for_again() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    library.broker.shelf.contents.clear()
    assert isinstance(library.describe(), ActrTransportError)
    assert library.describe().body == A.encode()
    assert library.broker.published == [A, A]


def test_what_nobody_has_published_is_not_found() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    for answer in (
        library.describe(ActrType("acme", "Other")),
        library.describe(None, "other"),
        library.describe(fingerprint=B),
        library.describe(ECHO, "other"),
    ):
        assert isinstance(answer, ActrNotFound)
        assert "has been published in realm 0" in answer.message
    assert isinstance(library.describe(None), ActrConfigError)


def test_only_the_realm_of_the_asker_is_looked_at() -> None:
    library = Library()
    other = library.world.node("other", "Tool", realm=7)
    library.server()
    library.world.run(200)
    library.tool = other
    assert isinstance(library.describe(), ActrNotFound)
    assert [row.name for row in library.ask(ListNodes(0))] == ["other"]


def test_the_newest_live_version_is_described_and_else_the_newest() -> None:
    library = Library()
    servers = {}
    for fingerprint in (A, B, C):
        servers[fingerprint] = library.server("echo" + fingerprint[-1], fingerprint)
        library.world.run(200)
    assert library.describe().facts.fingerprint == C
    servers[C].kill()
    library.world.run(2_000)
    assert library.describe().facts.fingerprint == B
    assert library.describe(fingerprint=C).facts.live == 0
    servers[A].kill()
    servers[B].kill()
    library.world.run(2_000)
    assert library.describe().facts.fingerprint == C


def test_an_invisible_node_publishes_nothing() -> None:
    library = Library()
    library.server(visible=False)
    library.world.run(1_000)
    assert library.broker.published == []


def test_a_fingerprint_that_is_none_is_counted_and_not_asked_for() -> None:
    library = Library()
    library.server(fingerprint="service_semantic:nonsense\n")
    library.world.run(1_000)
    assert library.broker.published == []
    assert library.count("dropped.fingerprint") == 1


def test_what_was_not_asked_for_is_dropped() -> None:
    library = Library()
    server = library.server()
    library.world.run(500)
    server.do(lambda session, now: session._say([Publish(A, b"again"), Publish(B, b"unasked")], now))
    library.world.run(500)
    assert library.count("dropped.not_wanted") == 2
    assert library.describe().body == A.encode()


def test_few_contracts_are_asked_for_at_once() -> None:
    library = Library()
    library.broker.shelf.DELAY = 1_000
    for number in range(AT_ONCE + 2):
        library.server(f"echo-{number}", f"service_semantic:{number:064x}")
    library.world.run(900)
    assert len(library.broker.published) == AT_ONCE
    library.world.run(3_000)
    assert len(library.broker.published) == AT_ONCE + 2


def test_over_the_limit_what_was_used_longest_ago_goes_but_never_what_is_live() -> None:
    library = Library(BrokerLimits(contracts=3 * (VERSION_BYTES + 10_000)))
    live = library.server("live", A, A.encode().ljust(10_000))
    library.world.run(200)
    for fingerprint in (B, C, B, f"service_semantic:{'d' * 64}"):
        server = library.server(f"echo{fingerprint[-1]}", fingerprint, fingerprint.encode().ljust(10_000))
        library.world.run(200)
        server.kill()
        library.world.run(1_500)
    assert live.session.is_online
    assert set(library.broker.shelf.contents) == {A, B, f"service_semantic:{'d' * 64}"}
    assert library.count("contracts.pruned") == 1
    assert isinstance(library.describe(fingerprint=C), ActrNotFound)


def test_what_would_push_live_contracts_out_is_refused_in_words() -> None:
    library = Library(BrokerLimits(contracts=20_000))
    library.server("live", A, A.encode().ljust(10_000))
    library.world.run(200)
    library.server("more", B, B.encode().ljust(10_000))
    library.world.run(1_000)
    assert "limits.contracts_bytes is used up" in library.describe(fingerprint=B).message
    assert set(library.broker.shelf.contents) == {A}


def test_a_broker_that_keeps_no_contracts_asks_for_none() -> None:
    library = Library(BrokerLimits(contracts=0))
    library.server()
    library.world.run(1_000)
    assert library.broker.published == []
    assert isinstance(library.describe(), ActrNotFound)


def test_a_contract_over_the_brokers_body_limit_is_not_sent() -> None:
    library = Library(BrokerLimits(contracts=1 << 20, body=1_000))
    server = library.server(body=A.encode().ljust(2_000))
    library.world.run(1_000)
    assert library.broker.published == []
    assert server.session.counters["dropped.contract_too_large"] == 1


def test_a_flood_of_questions_is_refused_and_the_first_ones_are_answered() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    answers: list[Any] = []
    library.broker.shelf.DELAY = 100

    def flood(session: Session, now: int) -> None:
        for _ in range(50):
            session.ask(Describe(0, ECHO), 5_000, answers.append, now)

    library.tool.do(flood)
    library.world.run_until(lambda: len(answers) == 50)
    assert sum(isinstance(answer, Spec) for answer in answers) == 16
    assert sum(isinstance(answer, ActrOverloaded) for answer in answers) == 34
    assert library.count("refused.describe") == 34
    assert library.count("questions") == 0


@pytest.mark.parametrize("when", ["asked", "read"])
def test_a_contract_is_refused_to_whom_too_much_waits_for(when: str) -> None:
    library = Library(BrokerLimits(contracts=1 << 20, backlog=100_000))
    library.server(body=A.encode().ljust(60_000))
    library.world.run(200)
    library.broker.shelf.DELAY = 100
    (tool,) = (node for node in library.broker.core.nodes() if node.id == library.tool.id)
    answers: list[Any] = []
    tool.sent_bytes += 50_000 if when == "read" else 110_000
    library.tool.do(lambda session, now: session.ask(Describe(0, ECHO), 5_000, answers.append, now))
    library.world.run_until(lambda: answers)
    assert isinstance(answers[0], ActrOverloaded)
    assert ("too much waits" in answers[0].message) == (when == "read")
    assert library.count("refused.describe") == 1


def test_a_publisher_that_registers_anew_may_have_other_contents_and_is_asked_at_once() -> None:
    library = Library()
    liars = [library.server(name, body=b"something else") for name in ("first", "second")]
    library.world.run(1_000)
    assert library.count("contracts.wrong") == 2
    liars[0].reset()
    library.world.run(2_000)
    assert library.count("contracts.wrong") == 3


def test_an_asker_that_is_gone_leaves_no_question_behind() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    library.broker.shelf.DELAY = 5_000
    tool = library.tool
    tool.do(lambda session, now: session.ask(Describe(0, ECHO), 9_000, lambda _: None, now))
    library.world.run(100)
    assert library.count("questions") == 1
    tool.kill()
    library.world.run(2_000)
    assert library.count("questions") == 0
    library.world.run(5_000)


@pytest.mark.parametrize("seed", range(30))
def test_whatever_breaks_every_live_contract_is_there_in_the_end(seed: int) -> None:
    library = Library(seed=seed)
    world, dice = library.world, random.Random(seed)
    fingerprints = [f"service_semantic:{number:064x}" for number in range(6)]
    servers: dict[str, SimNode] = {}
    world.delay = dice.choice([(0, 3), (0, 60), (50, 50)])

    def harm() -> None:
        match dice.randrange(5):
            case 0:
                library.broker.kill()
                world.run(dice.randrange(500))
                library.broker.start()
            case 1 if servers:
                servers.pop(dice.choice(sorted(servers))).kill()
            case 2 if servers:
                servers[dice.choice(sorted(servers))].reset()
            case 3:
                library.broker.shelf.contents.clear()
            case _:
                name = f"server-{world.now}"
                servers[name] = library.server(name, dice.choice(fingerprints))

    for _ in range(40):
        harm()
        world.run(dice.randrange(400))
    world.run(15_000)
    for server in servers.values():
        fingerprint = server.session._register.fingerprint
        library.describe(fingerprint=fingerprint)  # finds out if the shelf has lost it
        assert library.describe(fingerprint=fingerprint).body == fingerprint.encode()
    statistics = library.broker.core.statistics()
    assert (statistics["contracts.wanted"], statistics["questions"]) == (0, 0)
    assert library.broker.core.library._publishing._under_way == 0


# who is there


def test_all_nodes_of_the_realm_are_listed_with_how_they_are() -> None:
    library = Library()
    server = library.server(host="here", pid=7, version="1.0")
    library.world.run(2_500)
    rows: dict[str, Listed] = {row.name: row for row in library.ask(ListNodes(0))}
    assert set(rows) == {"tool", "echo"}
    echo = rows["echo"]
    assert (echo.id, echo.visible, echo.state, echo.host, echo.pid) == (server.id, True, State.UP, "here", 7)
    assert echo.uptime in range(2_300, 2_700)
    assert not rows["tool"].visible
    server.do(Session.drain)
    library.world.run(100)
    assert {row.name: row.state for row in library.ask(ListNodes(0))}["echo"] is State.DRAINING


def test_the_uptime_is_the_processs_and_outlives_a_restart_of_the_broker() -> None:
    library = Library()
    library.server()
    library.world.run(5_000)
    library.broker.kill()
    library.broker.start()
    library.world.run(1_000)
    echo = next(row for row in library.ask(ListNodes(0)) if row.name == "echo")
    assert echo.uptime in range(5_800, 6_200)


def test_many_nodes_are_listed_in_several_messages() -> None:
    library = Library()
    for number in range(250):
        library.world.node(f"node-{number}")
    library.world.run(1_000)
    rows = library.ask(ListNodes(0))
    assert len(rows) == 251
    assert len({row.id for row in rows}) == 251


def test_a_flood_of_lists_is_refused_and_the_first_ones_are_answered() -> None:
    library = Library()
    answers: list[Any] = []

    def flood(session: Session, now: int) -> None:
        for _ in range(50):
            session.ask(ListNodes(0), 1_000, answers.append, now)

    library.tool.do(flood)
    library.world.run_until(lambda: len(answers) == 50)
    assert sum(isinstance(answer, tuple) for answer in answers) == 4
    assert sum(isinstance(answer, ActrOverloaded) for answer in answers) == 46
    assert library.count("refused.list_nodes") == 46


def test_a_tool_is_not_expected_back_after_a_restart_of_the_broker() -> None:
    library = Library()
    library.server()
    library.world.run(200)
    assert [node.name for node in library.broker.stored.values()] == ["echo"]


# discovery by contract


def test_discovery_prefers_those_with_the_contract_that_is_asked_for() -> None:
    library = Library()
    for number in range(3):
        library.server(f"old-{number}", A)
    library.server("new", B)
    library.world.run(500)
    found: list[Any] = []

    def discover(session: Session, now: int) -> None:
        for fingerprint in (B, C, ""):
            session.discover(ECHO, "", all=True, timeout=0, waiter=found.append, now=now, fingerprint=fingerprint)

    library.tool.do(discover)
    library.world.run_until(lambda: len(found) == 3)
    assert [len(instances) for instances in found] == [1, 4, 4]
    assert found[0][0].fingerprint == B
