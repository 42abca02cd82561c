"""`actr ps`, `discovery` and `wait`: who is there."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from actrzmq.wire.messages import Deregister, Deregistered, Renewed
from tests.cli import lab
from tests.cli.commands import MAIN, refused
from tests.cli.conftest import Actr
from tests.cli.lab import TYPE
from tests.e2e.world import Program, World


def test_ps_shows_processes(at_lab: Actr, server: Program) -> None:
    found = at_lab("ps")
    assert (found.returncode, found.stderr) == (0, "")
    heading, *rows = found.stdout.splitlines()
    assert heading.split() == ["ID", "NAME", "STATE", "PID", "HOST", "UPTIME", "LAG", "CALLS", "STREAMS", "VERSION"]
    assert len(rows) == 1
    assert re.match(rf"[0-9a-f]+@0:acme\+Lab +lab +up +{server.process.pid} ", rows[0])


def test_ps_as_json_is_one_document(at_lab: Actr, server: Program) -> None:
    (node,) = json.loads(at_lab("ps", "--json").stdout)
    assert (node["type"], node["state"], node["pid"]) == (TYPE, "up", server.process.pid)
    assert set(node) >= {"id", "name", "host", "uptime_ms", "lag_ms", "calls", "streams", "version", "fingerprint"}


def test_stats_shows_what_the_broker_has_and_has_counted(at_lab: Actr) -> None:
    found = at_lab("stats")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.splitlines()[0].split() == ["NAME", "COUNT"]
    counts = json.loads(at_lab("stats", "--json").stdout)
    assert counts["nodes"] == 2  # the visitor is one
    assert counts["connections.made"] >= 2  # the loop's counts are there as well as the core's


def test_dead_letters_shows_what_was_dropped_and_whose_it_was(at_lab: Actr, world: World) -> None:
    from tests.net.peers import Peer

    with Peer(world.url, "Odd", "odd") as peer:
        peer.register()
        peer.send([b"", b"no message"])
        peer.renew()
        peer.hear(Renewed)
        found = at_lab("dead-letters")
        assert (found.returncode, found.stderr) == (0, "")
        heading, *rows = found.stdout.splitlines()
        assert heading.split()[:7] == ["AGO", "COUNT", "REASON", "WHAT", "NAME", "FROM", "TO"]
        mine = [row for row in rows if f"{peer.serial:x}@0:acme+Odd" in row]
        assert re.match(r"\d+s +1 +dropped\.undecodable +message +- ", mine[0])
        (letter,) = [one for one in json.loads(at_lab("dead-letters", "--json").stdout) if "Odd" in one["sender"]]
        assert (letter["reason"], letter["by"], letter["to"]) == ("dropped.undecodable", "broker", "broker")
        assert json.loads(at_lab("dead-letters", "--realm", "7", "--json").stdout) == []
        peer.say(Deregister(peer.session))  # else it is shown as unreachable for a while
        peer.hear(Deregistered)


def test_discovery_shows_types_with_their_contracts(at_lab: Actr) -> None:
    found = at_lab("discovery")
    heading, *rows = found.stdout.splitlines()
    assert heading.split() == ["TYPE", "NAME", "INSTANCE", "STATE", "CONTRACT", "LOAD", "VERSION"]
    assert len(rows) == 1
    assert re.match(r"acme\+Lab +lab +[0-9a-f]+ +up +[0-9a-f]{12} +\d+ ", rows[0])
    assert at_lab("discovery", TYPE).stdout == found.stdout


def test_discovery_of_a_type_that_is_not_there_names_those_that_are(at_lab: Actr) -> None:
    assert TYPE in refused(at_lab("discovery", "acme+Nobody"), 4)


def test_another_realm_is_another_world(at_lab: Actr) -> None:
    assert at_lab("discovery", "--realm", "7", "--json").stdout.strip() == "[]"


def test_wait_is_over_when_there_are_enough(at_lab: Actr) -> None:
    found = at_lab("wait", TYPE)
    assert (found.returncode, found.stderr) == (0, "")
    assert re.fullmatch(r"[0-9a-f]+@0:acme\+Lab\n", found.stdout)


def test_wait_says_how_many_were_missing(at_lab: Actr) -> None:
    said = refused(at_lab("wait", TYPE, "--count", "2", "--timeout", "0.5"), 4)
    assert said.startswith("actr: 1 of 2 instances of acme+Lab within 0.5 s")


def test_wait_waits_for_the_broker_and_for_the_service(tmp_path: Path, folder: Path, world: World) -> None:
    other = World(folder, tmp_path)
    try:
        port = other.broker().out.split("endpoint=")[1].split()[0]
        other.programs[0].stop()
        waiting = other.start(*MAIN, "wait", TYPE, "--json", cwd=tmp_path)
        other.broker(port)
        lab.start(other, folder)
        assert waiting.wait() == 0, waiting.err
        assert len(json.loads(waiting.out)) == 1
    finally:
        other.stop()


@pytest.mark.parametrize("command", ["ps", "discovery"])
def test_watching_tells_who_comes_and_goes_until_ctrl_c(
    world: World, server: Program, folder: Path, tmp_path: Path, command: str
) -> None:
    watching = world.start(*MAIN, command, "--watch", cwd=tmp_path)
    watching.wait_for(r"up  [0-9a-f]+@0:acme\+Lab  lab")
    second = lab.start(world, folder)
    name = re.escape(second.out.split()[1])
    watching.wait_for(rf"up  {name}  lab")
    second.stop()
    watching.wait_for(rf"down  {name}  lab")
    watching.process.send_signal(signal.SIGINT)
    assert watching.wait() == 130
    assert "Traceback" not in watching.err


def test_watching_says_that_the_broker_is_away_and_takes_nobody_for_gone_who_lives(
    tmp_path: Path, folder: Path
) -> None:
    own = World(folder, tmp_path)
    try:
        broker = own.broker()
        lab.start(own, folder)
        watching = own.start(*MAIN, "ps", "--watch", cwd=tmp_path)
        watching.wait_for(r"up  [0-9a-f]+@0:acme\+Lab  lab")
        broker.stop()
        watching.wait_for("the broker is away")
        own.broker(own.url)
        second = lab.start(own, folder)
        watching.wait_for(rf"up  {re.escape(second.out.split()[1])}  lab")
        assert "down" not in watching.out
        assert watching.out.count("up  ") == 2
        assert watching.err.count("the broker is away") == 1
    finally:
        own.stop()
