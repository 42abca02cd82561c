"""What is on the wire stays: a tag or a field that changes its meaning breaks every process that is not restarted."""

from __future__ import annotations

import ast
import inspect
import re

import pytest
from msgspec import Struct

from actrzmq.wire import messages
from actrzmq.wire.messages import (
    Batch,
    DeadLetter,
    Facts,
    Failure,
    Instance,
    Lane,
    Listed,
    Message,
    Path,
    Reason,
    Rule,
    State,
)
from tests.wire.strategies import MESSAGES

GOLDEN = {
    1: "Register attempt protocol key realm type name visible peers rules data stream_memory fingerprint host pid "
    "version draining description tags uptime visiting",
    2: "Registered attempt session epoch broker_time lease renew body_limit token relay",
    3: "Refused attempt status message fatal",
    4: "Renew session sent load lag received relayed streams",
    5: "Renewed session epoch sent broker_time",
    6: "Unknown",
    7: "Drain session",
    8: "Deregister session",
    9: "Deregistered session",
    10: "Lagging token lag",
    11: "Discover query type name all fingerprint",
    12: "Found query instances",
    13: "NotFound query hidden",
    14: "NotYet query",
    15: "Watch query type name",
    16: "Unwatch query",
    17: "Watching query version instances expected",
    18: "Changed query version instance reason",
    19: "Introduce id may_call may_stream",
    20: "Returned to reason",
    21: "PeerDown serial reason",
    22: "PeerBack serial",
    23: "Publish fingerprint body",
    24: "Describe query type name fingerprint with_files",
    25: "Spec query facts body",
    26: "Wanted fingerprint",
    27: "NoSpec query failure",
    28: "ListNodes query",
    29: "Nodes query rows more",
    30: "Inspect query",
    31: "Inspected query counts letters more",
    32: "Dropped letters",
    33: "NoWatch query failure",
    40: "Call id route body timeout chain signal metadata",
    41: "Reply id body failure metadata",
    42: "Tell route body timeout signal metadata",
    43: "Cancel id",
    44: "Outstanding calls upto opens",
    45: "OpenStream open stream_id lane path grants",
    46: "Opened open channel path limit_frames limit_bytes data",
    47: "OpenRefused open failure",
    48: "Grant channel received completed limit_frames limit_bytes",
    49: "Probe channel last",
    50: "Resend channel start",
    51: "End channel count dropped",
    52: "EndAck channel",
    53: "Reset channel failure last",
    54: "Frames channel first frames large dropped",
    55: "Farewell begun",
}
"""Tags, what they stand for, and their fields in order. Append; change nothing; never use a tag again."""

PARTS = {
    Batch: "sent_at envelopes settled large",
    Failure: "status name message details retryable may_have_run",
    Rule: "allow types",
    Instance: "id load fingerprint",
    Facts: "name type realm fingerprint description tags published_at live",
    Listed: "id name visible state pid host uptime lag calls streams fingerprint version",
    DeadLetter: "reason what name sender to by count age",
    messages._Frame: "stream_id sequence payload timestamp_ms metadata",
}

REASONS = "UNKNOWN UNREACHABLE CONGESTED DRAINING DENIED NOT_YET DEREGISTERED LEASE LAGGING FENCED"


def test_every_message_is_what_it_was() -> None:
    found = {kind.__struct_config__.tag: " ".join([kind.__name__, *kind.__struct_fields__]) for kind in MESSAGES}
    assert found == GOLDEN


def test_no_tag_is_used_twice() -> None:
    tags = [kind.__struct_config__.tag for kind in MESSAGES]
    assert len(tags) == len(set(tags))


@pytest.mark.parametrize("kind", PARTS)
def test_every_part_of_a_message_is_what_it_was(kind: type[Struct]) -> None:
    assert " ".join(kind.__struct_fields__) == PARTS[kind]


def test_every_number_means_what_it_meant() -> None:
    assert [reason.name for reason in sorted(Reason)] == REASONS.split()
    assert [state.name for state in sorted(State)] == ["UP", "DRAINING", "LAGGING", "UNREACHABLE"]
    assert (Lane.RELIABLE, Lane.LATENCY_FIRST) == (0, 1)
    assert (Path.DIRECT, Path.RELAY) == (0, 1)


@pytest.mark.parametrize("kind", MESSAGES)
def test_every_message_says_what_it_means(kind: type[Message]) -> None:
    assert kind.__doc__ is not None
    assert kind.__doc__.rstrip().endswith(".")


def test_the_grammar_knows_every_message() -> None:
    words = set(re.findall(r"[A-Z][A-Za-z]+", ast.get_docstring(ast.parse(inspect.getsource(messages))) or ""))
    elsewhere = {"Lagging", "Tell"}  # on a connection of its own; and `tell` in the grammar
    assert {kind.__name__ for kind in MESSAGES} - elsewhere <= words
