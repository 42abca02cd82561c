"""Every command that needs a broker: which one it asks, and one line when there is none, or nothing to find."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from actrzmq.cli.visiting import find_broker
from actrzmq.errors import ActrConfigError
from tests.cli.commands import MANIFEST, actr, refused
from tests.cli.conftest import Actr

VISITS = {
    "ps": (),
    "discovery": ("acme+Nobody",),
    "describe": ("acme+Nobody",),
    "wait": ("acme+Nobody",),
    "call": ("acme+Nobody", "Echo", "{}"),
    "stream": ("acme+Nobody", "Send", '{"stream_id": "s"}'),
}


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"tcp://127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize("command", VISITS)
def test_no_broker_is_one_line_with_its_address_and_exit_3(tmp_path: Path, command: str) -> None:
    address = free_address()
    patience = ("--timeout", "0.3") if command == "wait" else ("--wait", "0.3")
    said = refused(actr(command, *VISITS[command], "--broker", address, *patience, cwd=tmp_path), 3)
    assert address in said
    assert "`actrzmq-broker`" in said


def test_it_waits_three_seconds_unless_told_otherwise(tmp_path: Path) -> None:
    started = time.monotonic()
    refused(actr("ps", "--broker", free_address(), cwd=tmp_path), 3)
    assert 2.9 < time.monotonic() - started < 10


@pytest.mark.parametrize("command", VISITS)
def test_a_broken_manifest_is_named_and_exits_2(tmp_path: Path, command: str) -> None:
    (tmp_path / "Actr.toml").write_text("[package\n")
    said = refused(actr(command, *VISITS[command], cwd=tmp_path), 2)
    assert "Actr.toml" in said


@pytest.mark.parametrize("command", [name for name in VISITS if name != "ps"])
def test_a_type_that_nobody_is_exits_4(at_lab: Actr, command: str) -> None:
    patience = ("--timeout", "0.3") if command == "wait" else ()
    assert "acme+Nobody" in refused(at_lab(command, *VISITS[command], *patience), 4)


@pytest.mark.parametrize("command", [name for name in VISITS if name != "ps"])
def test_a_type_that_can_not_be_one_exits_2(tmp_path: Path, command: str) -> None:
    said = refused(actr(command, "4+x", *VISITS[command][1:], cwd=tmp_path), 2)
    assert "manufacturer '4'" in said


def test_an_address_that_is_none_is_refused_wherever_it_stands(tmp_path: Path) -> None:
    assert "--broker 'nonsense'" in refused(actr("ps", "--broker", "nonsense", cwd=tmp_path), 2)
    assert "ACTRZMQ_BROKER='nonsense'" in refused(actr("ps", cwd=tmp_path, ACTRZMQ_BROKER="nonsense"), 2)


@pytest.mark.parametrize("url", ["tcp://10.0.0.1:5570", "tcp://broker.example:5570", "tcp://0.0.0.0:5570"])
def test_an_address_at_which_no_broker_would_listen_is_refused_at_once(tmp_path: Path, url: str) -> None:
    said = refused(actr("ps", "--broker", url, cwd=tmp_path), 2)
    assert f"--broker '{url}' is not a loopback address" in said
    assert "SSH tunnel" in said


def test_what_is_said_counts_before_the_environment_and_that_before_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ACTRZMQ_BROKER", raising=False)
    assert find_broker(None, None) == ("tcp://127.0.0.1:5570", 0)
    more = '[system.broker]\nurl = "tcp://127.0.0.1:1111"\n[system.deployment]\nrealm_id = 7\n'
    (tmp_path / "Actr.toml").write_text(MANIFEST + more)
    assert find_broker(None, None) == ("tcp://127.0.0.1:1111", 7)
    assert find_broker(None, 0) == ("tcp://127.0.0.1:1111", 0)
    monkeypatch.setenv("ACTRZMQ_BROKER", "tcp://127.0.0.1:2222")
    assert find_broker(None, None) == ("tcp://127.0.0.1:2222", 7)
    assert find_broker("tcp://127.0.0.1:3333", None) == ("tcp://127.0.0.1:3333", 7)


def test_a_manifest_that_is_not_needed_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "Actr.toml").write_text("[broken")
    assert find_broker("tcp://127.0.0.1:3333", 1) == ("tcp://127.0.0.1:3333", 1)
    with pytest.raises(ActrConfigError, match=r"Actr\.toml"):
        find_broker("tcp://127.0.0.1:3333", None)
