"""`actr call`: JSON in and out by the published contract, typed errors, and candidates for what is misspelled."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from actrzmq.cli.calling import read_json
from actrzmq.errors import ActrConfigError
from tests.cli.commands import MAIN, refused
from tests.cli.conftest import Actr
from tests.cli.lab import TYPE
from tests.e2e.world import Program, World

ECHO = "lab.Lab.Echo"

SAMPLE = {
    "name": "Größe",
    "big": "9007199254740993",
    "colour": "RED",
    "counts": {"a": 1},
    "at": "2026-01-02T03:04:05Z",
    "parts": ["AP8="],
    "ratio": 0.5,
    "stream_id": "",
}


def test_every_kind_of_field_goes_and_comes_back(at_lab: Actr) -> None:
    found = at_lab("call", TYPE, ECHO, json.dumps(SAMPLE))
    assert (found.returncode, found.stderr) == (0, "")
    assert json.loads(found.stdout) == SAMPLE
    assert "Größe" in found.stdout


def test_names_may_be_in_camel_case_and_the_request_on_standard_input(at_lab: Actr) -> None:
    found = at_lab("call", TYPE, ECHO, "-", input='{"streamId": "s"}')
    assert json.loads(found.stdout)["stream_id"] == "s"


def test_a_pipe_that_says_nothing_is_not_waited_for_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actrzmq.cli.calling.FIRST_WORD_S", 0.05)
    end, other = os.pipe()
    with os.fdopen(end) as silent, os.fdopen(other, "w"):
        monkeypatch.setattr("sys.stdin", silent)
        with pytest.raises(ActrConfigError, match="nothing came on standard input"):
            read_json(None)


@pytest.mark.parametrize("more", [(), ("-",)])
def test_without_json_the_request_is_read_from_a_pipe(at_lab: Actr, more: tuple[str, ...]) -> None:
    found = at_lab("call", TYPE, ECHO, *more, input='{"name": "Ada"}\n')
    assert json.loads(found.stdout)["name"] == "Ada"


def test_what_a_pipe_says_has_to_be_json(at_lab: Actr) -> None:
    assert "JSON" in refused(at_lab("call", TYPE, ECHO, input="Ada\n"), 2)


def test_without_json_the_request_is_empty_and_the_reply_shows_its_defaults(at_lab: Actr) -> None:
    found = at_lab("call", TYPE, ECHO)
    assert json.loads(found.stdout) == {
        "name": "",
        "big": "0",
        "colour": "COLOUR_UNSPECIFIED",
        "counts": {},
        "parts": [],
        "stream_id": "",
    }


@pytest.mark.parametrize("method", ["Lab.Echo", "lab.Lab/Echo", "Other.Echo"])
def test_as_much_of_a_name_is_enough_as_says_which_one_is_meant(at_lab: Actr, method: str) -> None:
    assert at_lab("call", TYPE, method).returncode == 0


def test_the_name_of_a_published_service_does_as_well_as_its_type(at_lab: Actr) -> None:
    assert at_lab("call", "lab", ECHO).returncode == 0


def test_metadata_reaches_the_handler(at_lab: Actr) -> None:
    found = at_lab("call", TYPE, "Headers", "-H", "trace=a=b", "--header", "user=ada")
    assert json.loads(found.stdout)["name"] == "{'trace': 'a=b', 'user': 'ada'}"


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [
        ("ActrPermissionDenied", 1, "PERMISSION_DENIED (7)"),
        ("ActrNotFound", 1, "NOT_FOUND (5)"),
        ("ActrTimeoutError", 5, "DEADLINE_EXCEEDED (4)"),
        ("NoSuchName", 1, "INTERNAL (13)"),
    ],
)
def test_an_error_of_the_handler_comes_with_its_status(at_lab: Actr, error: str, code: int, status: str) -> None:
    said = refused(at_lab("call", TYPE, "Fail", json.dumps({"name": error})), code)
    assert f"lab.Lab.Fail at {TYPE}: {status}: " in said
    if error != "NoSuchName":
        assert "as you wish \\x1b[31m [why=asked]" in said


def test_a_reply_that_does_not_come_in_time_exits_5(at_lab: Actr) -> None:
    assert "DEADLINE_EXCEEDED" in refused(at_lab("call", TYPE, "Sleep", "--timeout", "0.2"), 5)


MISTAKES = {
    "several methods": (("Echo",), 2, ("lab.Lab.Echo", "lab.Other.Echo")),
    "no such method": (("lab.Lab.Ecko",), 4, ("did you mean lab.Lab.Echo", "lab.Lab.Fail")),
    "no JSON": ((ECHO, "{"), 2, ("lab.Sample", "line 1 column 2")),
    "no object": ((ECHO, "[]"), 2, ("lab.Sample", "expected an object")),
    "no such field": ((ECHO, '{"nmae": 1}'), 2, ("lab.Sample", "nmae", "name")),
    "a wrong type": ((ECHO, '{"counts": {"a": "x"}}'), 2, ("lab.Sample", "counts")),
    "a wrong enum": ((ECHO, '{"colour": "BLUE"}'), 2, ("lab.Sample", "colour", "BLUE")),
    "too deep": ((ECHO, '{"name":' + "[" * 50_000), 2, ("lab.Sample",)),
    "a key twice": ((ECHO, '{"name": "a", "name": "b"}'), 2, ("lab.Sample", "name")),
    "no pair": ((ECHO, "-H", "trace"), 2, ("trace", "key=value")),
    "metadata twice": ((ECHO, "-H", "a=1", "-H", "a=2"), 2, ("'a'", "twice")),
    "no time": ((ECHO, "--timeout", "0"), 2, ("--timeout",)),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_that_names_the_place(at_lab: Actr, case: str) -> None:
    arguments, code, words = MISTAKES[case]
    said = refused(at_lab("call", TYPE, *arguments), code)
    for word in words:
        assert word in said


def test_ctrl_c_ends_a_call_that_waits_with_130_and_no_traceback(world: World, server: Program, tmp_path: Path) -> None:
    calling = world.start(*MAIN, "call", TYPE, "Sleep", '{"name": "soundly"}', cwd=tmp_path)
    server.wait_for("sleeping soundly")
    calling.process.send_signal(signal.SIGINT)
    assert calling.wait() == 130
    assert "Traceback" not in calling.err
    assert calling.out == ""


def test_a_field_that_is_not_there_is_answered_with_the_names_of_the_proto_file(at_lab: Actr) -> None:
    said = refused(at_lab("call", TYPE, ECHO, '{"stream": "s"}'), 2)
    assert "lab.Sample has no field 'stream'; it has name, big, colour, counts, at, parts, ratio, stream_id" in said
