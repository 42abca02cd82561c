"""`actr stream`: frames as text, hex, JSON or bytes, until the stream ends, and words for every other end."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.commands import MAIN, refused
from tests.cli.conftest import Actr
from tests.cli.lab import TYPE
from tests.e2e.world import Program, World, environment

PARTS = [b"one", "zwölf".encode(), b"\xff\x00"]


def request(parts: list[bytes], name: str = "end", stream_id: str = "s") -> str:
    encoded = [base64.b64encode(part).decode() for part in parts]
    return json.dumps({"name": name, "stream_id": stream_id, "parts": encoded})


def test_frames_are_text_where_they_can_be_and_hex_elsewhere(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", request(PARTS))
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout == "one\nzwölf\nff00\n"


def test_the_request_may_come_through_a_pipe(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", input=request([b"one"]))
    assert (found.returncode, found.stdout) == (0, "one\n")


def test_as_json_each_frame_is_a_line(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", request(PARTS), "--json")
    assert [json.loads(line) for line in found.stdout.splitlines()] == [
        {"sequence": 1, "text": "one", "metadata": {"n": "1"}},
        {"sequence": 2, "text": "zwölf", "metadata": {"n": "2"}},
        {"sequence": 3, "hex": "ff00", "metadata": {"n": "3"}},
    ]


def test_raw_are_the_bytes_and_nothing_else(world: World, server: Program, tmp_path: Path) -> None:
    found = subprocess.run(
        [sys.executable, *MAIN, "stream", TYPE, "Send", request(PARTS), "--raw"],
        cwd=tmp_path,
        env=environment(ACTRZMQ_BROKER=world.url),
        capture_output=True,
        check=True,
    )
    assert found.stdout == b"".join(PARTS)


def test_count_stops_a_stream_that_goes_on(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", request([b"x"] * 5, name="go on"), "--count", "2")
    assert (found.returncode, found.stdout) == (0, "x\nx\n")


def test_a_stream_of_nothing_prints_nothing(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", request([]))
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")


def test_a_stream_that_is_aborted_fails_with_the_reason(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", request([b"x"], name="abort"))
    assert found.returncode == 1
    assert "enough" in found.stderr
    assert len(found.stderr.splitlines()) == 1


def test_silence_ends_at_the_timeout(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", request([b"x"], name="go on"), "--timeout", "0.4")
    assert (found.returncode, found.stdout) == (5, "x\n")
    assert "stream s: no frame within 0.4 s, after 1" in found.stderr


def test_an_error_of_the_handler_is_that_of_the_command(at_lab: Actr) -> None:
    said = refused(at_lab("stream", TYPE, "Fail", '{"stream_id": "s", "name": "ActrOverloaded"}'), 1)
    assert "RESOURCE_EXHAUSTED (8)" in said


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("{}",), "--stream-id"),
        (("[]",), "--stream-id"),
        (('{"stream_id": 4}',), "--stream-id"),
        (("{",), "no JSON"),
        (("{}", "--stream-id", "s", "--count", "0"), "--count"),
    ],
)
def test_a_request_without_a_stream_is_refused(at_lab: Actr, arguments: tuple[str, ...], word: str) -> None:
    assert word in refused(at_lab("stream", TYPE, "Send", *arguments), 2)


def test_another_stream_can_be_named(at_lab: Actr) -> None:
    found = at_lab("stream", TYPE, "Send", '{"name": "end", "stream_id": "t"}', "--stream-id", "t")
    assert found.returncode == 0, found.stderr
