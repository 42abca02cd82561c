"""A small fixed slice of the chaos runs, and the same with a safeguard taken out, which must turn it red."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from functools import partial

import pytest
from msgspec import structs

from tests.chaos import cells, scene
from tests.chaos.ledger import Ledger, read
from tests.chaos.render import Other, read_others, render, render_others
from tests.chaos.render import read as results
from tests.chaos.results import RESULTS, Result, distribution
from tests.chaos.scenarios import TOLD_WITHIN_S, broker_kills, node_kills
from tests.chaos.scene import Cell
from tests.chaos.soak import slope
from tests.chaos.survivors import survivors
from tests.chaos.verdict import judge
from tests.chaos.world import World


@pytest.fixture
def world() -> Iterator[World]:
    with World(7) as world:
        yield world
    shutil.rmtree(world.folder, ignore_errors=True)


def passes(result: Result) -> None:
    """It is whole, and something was under way in each of its faults."""
    assert result.broken == [], result.folder
    assert result.faults >= 1
    assert result.idle_faults == 0, (result.counts, result.outcomes)
    shutil.rmtree(result.folder, ignore_errors=True)


def test_a_broker_that_is_killed_under_load_costs_nothing_but_time() -> None:
    passes(broker_kills(1, seed=1, clients=2, supervised=False))


@pytest.mark.parametrize("victim", ["server", "client"])
def test_who_survives_the_death_of_another_is_told_rightly(victim: str) -> None:
    passes(node_kills(1, seed=2, victim=victim, servers=1, clients=1, frames=60))


def kill_the_server_after_an_end(world: World, server: str = "", client: str = "") -> Ledger:
    """A slow receiver is killed as soon as its sender takes the stream for completed."""
    load = {"calls": 0, "streams": 1, "sending": 1, "frames": 40, "frame_ms": 0}
    killed = world.start("server", "server-0", slow_ms=15, sabotage=server)
    sender = world.start("client", "client-0", **load, sabotage=client)  # type: ignore[arg-type]
    path = world.folder / f"{sender.name}.ledger"
    world.wait_until(lambda: b'"ended"' in path.read_bytes(), "the end of a stream")
    world.kill(killed)
    world.kill(sender)
    return read(world.folder)


def test_a_stream_whose_end_was_acknowledged_is_whole_if_its_receiver_is_killed_then(world: World) -> None:
    assert judge(kill_the_server_after_an_end(world)).broken == []


@pytest.mark.parametrize("sabotage", [{"server": "early"}, {"client": "no-end"}], ids=["early", "no-end"])
def test_frames_that_are_acknowledged_too_soon_are_found_to_be_lost(world: World, sabotage: dict[str, str]) -> None:
    """`early`: a receiver that acknowledges what it has only received. `no-end`: a sender that awaits no end."""
    verdict = judge(kill_the_server_after_an_end(world, **sabotage))
    assert verdict.counts["lost"] > 0
    assert any(line.startswith("lost: stream") for line in verdict.broken)


def test_a_callee_that_remembers_no_call_is_found_to_run_them_twice(world: World) -> None:
    server = world.start("server", "server-0", sabotage="dedup")
    client = world.start("client", "client-0", calls=40, work_ms=3_000, streams=0)
    ledger = world.folder / f"{server.name}.ledger"
    world.wait_until(lambda: ledger.read_bytes().count(b'"ran"') > 10, "calls")
    world.kill_broker()
    known = ledger.read_bytes().count(b'"ran"')
    world.wait_until(lambda: ledger.read_bytes().count(b'"ran"') > known + 10, "calls that are said again")
    world.kill(client)
    world.kill(server)
    verdict = judge(read(world.folder))
    assert verdict.counts["duplicates"] > 0
    assert any(line.startswith("duplicates: call") for line in verdict.broken)


def test_a_callee_that_knows_no_age_is_found_to_run_what_has_expired(world: World) -> None:
    server = world.start("server", "server-0", sabotage="ageless")
    client = world.start("client", "client-0", calls=100, work_ms=0, timeout_ms=500, streams=0)
    ledger = world.folder / f"{server.name}.ledger"
    world.wait_until(lambda: ledger.read_bytes().count(b'"ran"') > 10, "calls")
    for _ in range(5):  # a call whose cancellation comes in the same turn does not run, whatever its age
        world.pause(world.programs["broker"], 2.5)
        known = ledger.read_bytes().count(b'"ran"')
        world.wait_until(lambda known=known: ledger.read_bytes().count(b'"ran"') > known + 20, "calls after the pause")  # type: ignore[misc]
        if judge(read(world.folder)).counts["expired"]:
            break
    world.kill(client)
    world.kill(server)
    verdict = judge(read(world.folder))
    assert verdict.counts["expired"] > 0
    assert any(line.startswith("expired: call") for line in verdict.broken)


def test_a_broker_that_hears_of_no_dead_peer_is_found_to_tell_survivors_too_late() -> None:
    with World(7, sabotage="mandatory") as world:
        server = world.start("server", "server-0")
        client = world.start("client", "client-0", calls=20, work_ms=9_000, streams=0)
        ledger = world.folder / f"{server.name}.ledger"
        world.wait_until(lambda: ledger.read_bytes().count(b'"ran"') > 3, "calls")
        at = world.kill(server)
        told = world.folder / f"{client.name}.ledger"
        with suppress(AssertionError):
            world.wait_until(lambda: b"unknown:" in told.read_bytes(), "a survivor that is told", TOLD_WITHIN_S * 2)
        ledgers = read(world.folder)
    shutil.rmtree(world.folder, ignore_errors=True)
    after = [told.after for told in survivors(ledgers, judge(ledgers), server.name, at)]
    assert len(after) > 3
    assert min(after) > TOLD_WITHIN_S


def test_a_server_whose_connections_are_reset_costs_nothing_but_time() -> None:
    passes(cells.run(1, seed=3, name="reset", only=[Cell("server", "stream")]))


def test_a_sender_that_ignores_credit_is_found_to_break_its_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    harmless = structs.replace(cells.FAULTS["credit-violator"], effect="none", words="")
    monkeypatch.setitem(cells.FAULTS, "harmless", harmless)
    result = cells.run(1, seed=3, name="harmless", only=[Cell("client", "stream")])
    shutil.rmtree(result.folder, ignore_errors=True)
    assert result.broken
    assert all("client-0.1 to server" in line and "ActrStreamError" in line for line in result.broken), result.broken


def test_a_node_that_stays_who_it_was_after_its_lease_is_found_to_work_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    stop = partial(cells.stop, seconds=3)
    fault = cells.Fault(stop, "away", settings={"sabotage": "fence"}, lease_ms=2_000)
    monkeypatch.setitem(cells.FAULTS, "stop", fault)
    monkeypatch.setattr(scene, "WORKS_WITHIN_S", 3)
    result = cells.run(1, seed=3, name="stop", only=[Cell("server", "idle")])
    shutil.rmtree(result.folder, ignore_errors=True)
    assert ["never: a call that it runs after the fault" in line for line in result.broken] == [True], result.broken


def test_a_recorder_that_loses_a_line_is_found(world: World) -> None:
    """Whatever the run: what is missing in a ledger that was written by real processes is noticed."""
    world.start("server", "server-0")
    client = world.start("client", "client-0", calls=20, work_ms=0, streams=0)
    path = world.folder / f"{client.name}.ledger"
    world.wait_until(lambda: path.read_bytes().count(b'"told"') >= 5, "replies")
    ledger = world.finish()
    assert judge(ledger).broken == []
    lost = next(line for line in ledger["server-0.1"] if line.what == "ran")
    ledger["server-0.1"].remove(lost)
    assert judge(ledger).broken == [f"lost: call {lost.key} ran=[] told=['{judge(ledger).calls[lost.key].outcome}']"]


def test_distributions_and_slopes_are_what_they_say() -> None:
    assert distribution([]) == {"n": 0}
    assert distribution(range(1, 101)) == {"n": 100, "min": 1, "p50": 51, "p90": 91, "p99": 100, "max": 100}
    assert slope([(0, 10), (1, 12), (2, 14)]) == pytest.approx(2)


def test_a_claim_that_does_not_hold_breaks_a_result() -> None:
    result = Result(scenario="x", seed=1)
    result.claim(1, "not this one")
    result.claim(0, "this one")
    assert result.broken == ["this one"]


def test_the_page_shows_of_each_scenario_the_runs_of_its_last_runtime_only_and_what_they_bound() -> None:
    runs = [
        Result(scenario="broker-kill", seed=1, runtime="former", faults=9, broken=["former news"]),
        Result(scenario="broker-kill", seed=2, runtime="new", faults=20, counts={"calls": 5}),
        Result(scenario="broker-kill", seed=3, runtime="new", faults=10, counts={"calls": 6}),
        Result(scenario="server-kill", seed=3, runtime="new", faults=10, counts={"lost": 1}, broken=["lost: one"]),
    ]
    page = render(runs)
    assert "| broker-kill | `new` | 2 | 30 | 11 | 0 | 0 | 0 | 0 | 0.100 | – |" in page
    assert "| server-kill | `new` | 1 | 10 | 0 | 0 | 0 | 0 | 1 | – | – |" in page
    assert "* server-kill, seed 3: lost: one" in page
    assert "former" not in page


def test_the_page_shows_how_often_each_cell_of_the_matrix_was_borne() -> None:
    runs = [
        Result(scenario="cells-reset", seed=1, faults=2, cells={"server call": 1, "client draining": 0}),
        Result(scenario="cells-reset", seed=2, faults=2, cells={"server call": 2, "client draining": 1}),
    ]
    assert "\n| reset |  |  |  |  | 3 |  |  |  |  |  | 1 |\n" in render(runs)


def test_the_page_shows_what_simulation_fuzzing_and_sabotage_came_to() -> None:
    others = [
        Other("fuzz decoders", "former", 1, {"inputs": 7, "found": 1}),
        Other("fuzz decoders", "new", 1, {"inputs": 10_000, "found": 0}),
        Other("fuzz decoders", "new", 2, {"inputs": 20_000, "found": 0}),
        Other("sabotage", "new", 0, {"tried": 20, "noticed": 20, "green_without": True}),
    ]
    page = render_others(others)
    assert "| hostile inputs to decoders | `new` | 2 | 30000 | 0 found | 1.0e-04 |" in page
    assert "| safeguards taken out | `new` | 1 | 20 | 20 noticed | – |" in page


def test_the_results_that_are_kept_are_read_whoever_wrote_them() -> None:
    kept = [line for line in RESULTS.read_text().splitlines() if '"kind"' not in line]
    assert len(results()) == len(kept)
    assert len(results()) + len(read_others()) == len(RESULTS.read_text().splitlines())
    assert render(results())
