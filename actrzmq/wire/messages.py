"""Every message that actrzmq processes exchange, and the conversation they are part of.

The conversation, as a grammar (`|` or, `?` maybe, `*` any number; N is the node, B the broker, P a peer)::

    life      = Register (Registered serving | Refused | silence: Register again, attempt + 1)
    serving   = (Renew Renewed Dropped? | Discover (Found | NotFound | NotYet) | watch | publish | look | pair)* leaving
    publish   = Wanted Publish                            only where the broker has not got the contents
    look      = Describe (Spec | NoSpec) | ListNodes (Nodes* | NoSpec) | Inspect (Inspected* | NoSpec)
                                                          the last of Nodes or Inspected has `more` False
    watch     = Watch (Watching Changed* Unwatch? | NoWatch)
                                                          a gap in `version`: Watch again; where somebody is missing
                                                          who is `expected`: a lease later, Watch again
    leaving   = Drain Farewell(to each peer) Deregister Deregistered | PeerDown to all who know the node
    stranger  = anything Unknown Register                 after a broker restart, or from a peer never seen

    pair      = Introduce(to each side, ahead of the first batch) talk* (PeerBack Outstanding resync | PeerDown)
    talk      = call | tell | stream | Returned(what B could not deliver, whole)
    call      = Call (Reply | Cancel | Returned) settled  settled: in the header of the caller's next batch
    resync    = every open Call, every unanswered OpenStream, once more

    stream    = OpenStream (OpenRefused | Opened flow close)
    flow      = Frames* with Grant* against it; Probe Grant whenever either may have been lost;
                Resend(from) Frames(from)* at a gap
    close     = End EndAck | Reset

Crossings, and what they come to:

* Cancel meets Reply: the reply finds no open call, is dropped and counted. The caller has settled the id already.
* A repeated Call meets its own execution: it joins it, or is answered from what was kept.
* OpenStream cancelled meets Opened: Reset, answered by nothing.
* Frames, Probe or End of a closed channel: frames are counted and dropped; Probe and End are answered from a
  bounded memory of closed channels (EndAck or the same Reset again). There is no answer to an answer, so no storm.
* Both ends reset at once: each reports its own reason and ignores the other's.
* End meets Reset by a receiver that has completed every frame: the sender counts the stream as completed.
* Wanted is asked of several instances, since all have the same contents: of one, and of another when that one is gone
  or has said nothing for 5 s. What comes later than that, or unasked, is dropped and counted.
* Call meets Farewell: it was not run and never will be, unless the Farewell lists it; its caller need not wait for
  PeerDown, and may turn to another node.
* Publish meets the broker's restart: the new broker sees the fingerprint in Register, and asks if it has kept nothing.
* Describe meets a Publish under way: it is answered when that has been looked at. What was asked of a broker that
  restarts is asked again of the next one.
* Register meets PeerDown of the same serial: the serial is dead; Refused, and the node takes a new key.

Control plane, one ZeroMQ message: `[to or from: 8 bytes, or none for the broker] [Batch] [large body]*`.
Stream plane, one message: `[tuple of stream messages] [large payload]*`, on relay ends with a header frame before it.
All are msgpack arrays; a struct is `[tag, field, field, …]`. Tags are never used again, fields are only appended.
Times are milliseconds; `sent_at` and `broker_time` are on the broker's CLOCK_BOOTTIME. The batches-with-few-frames
shape follows what ZeroMQ is fast at: one frame costs a tenth of three.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, Annotated, NewType

from msgspec import Meta, Struct

from actrzmq.identity import ActrId, ActrType, Serial

PROTOCOL = 1
"""The version that travels in `Register`; another one is refused in words."""

MAX_INT = 2**63 - 1
MAX_NAME = 256
MAX_TEXT = 4096
MAX_METADATA = 64
MAX_TAGS = 64
MAX_RULE_TYPES = 1_000
"""Types that the access rules of one node name, in all; a rule without any counts as one."""
MAX_COUNTS = 1024

Count = Annotated[int, Meta(ge=0, le=MAX_INT)]
"""A number that is never negative: a count, a length in bytes, or milliseconds."""
Name = Annotated[str, Meta(max_length=MAX_NAME)]
Text = Annotated[str, Meta(max_length=MAX_TEXT)]
Metadata = Annotated[dict[Name, Text], Meta(max_length=MAX_METADATA)]
Counts = Annotated[dict[Name, Count], Meta(max_length=MAX_COUNTS)]
Tags = Annotated[tuple[Name, ...], Meta(max_length=MAX_TAGS)]

CallId = NewType("CallId", int)
"""Numbers the calls of one caller, from 1; to each callee they rise."""
Channel = NewType("Channel", int)
"""A stream's secret 63-bit name, drawn by its receiver: who knows it was granted it."""


class Message(Struct, frozen=True, array_like=True, tag_field="kind", gc=False):
    """What all messages have in common. Plain data never forms cycles, so the collector need not look."""


class Lane(IntEnum):
    """What a stream does when the receiver is slower than the sender."""

    RELIABLE = 0
    LATENCY_FIRST = 1


class Path(IntEnum):
    """How a stream's frames travel."""

    DIRECT = 0
    RELAY = 1


class Reason(IntEnum):
    """Why the broker says that it can't deliver, or that a node is down."""

    UNKNOWN = 0
    """No such node, or none any more."""
    UNREACHABLE = 1
    """Its connection is gone; it may be back in a moment."""
    CONGESTED = 2
    """Too much waits for it already."""
    DRAINING = 3
    DENIED = 4
    NOT_YET = 5
    """It was registered before the broker restarted and is still expected."""
    DEREGISTERED = 6
    """It left in good order."""
    LEASE = 7
    """It has not renewed for a whole lease."""
    LAGGING = 8
    """Its event loop is not turning."""
    FENCED = 9
    """It gave its identity up, or another one was told that it had."""


class State(IntEnum):
    """How a node is, as the broker sees it."""

    UP = 0
    DRAINING = 1
    LAGGING = 2
    UNREACHABLE = 3


class Failure(Struct, frozen=True, array_like=True):
    """An error on its way to the caller. `name` is the class of `actrzmq.errors` that it becomes."""

    status: Count
    name: Name
    message: Text
    details: Metadata = {}
    retryable: bool = False
    may_have_run: bool = False


class Rule(Struct, frozen=True, array_like=True):
    """One access rule: `allow` or deny callers of these types."""

    allow: bool
    types: tuple[ActrType, ...]


class Instance(Struct, frozen=True, array_like=True):
    """A node as discovery shows it. `load` counts its open calls and streams as last renewed."""

    id: ActrId
    load: Count = 0
    fingerprint: Name = ""


class Facts(Struct, frozen=True, array_like=True):
    """A published contract, without its contents. `live` counts the instances that publish it now."""

    name: Name
    type: ActrType
    realm: Count
    fingerprint: Name
    description: Text = ""
    tags: Tags = ()
    published_at: Name = ""
    live: Count = 0


class Listed(Struct, frozen=True, array_like=True):
    """A node as the broker lists it. `calls` and `streams` are what it has open, as last renewed."""

    id: ActrId
    name: Name
    visible: bool
    state: State
    pid: Count = 0
    host: Name = ""
    uptime: Count = 0
    lag: Count = 0
    calls: Count = 0
    streams: Count = 0
    fingerprint: Name = ""
    version: Name = ""


class DeadLetter(Struct, frozen=True, array_like=True):
    """What was dropped, without what was in it: `what` it was, of which `name` (a route, a stream id), why and by whom.

    Such letters that differ in nothing else are counted; `age` is how long ago the latest was dropped.
    """

    reason: Name
    what: Name
    name: Name = ""
    sender: Name = ""
    to: Name = ""
    by: Name = ""
    count: Count = 1
    age: Count = 0


class Register(Message, frozen=True, tag=1):
    """N→B: here I am. `key` proves the serial; a higher `attempt` replaces a lower one.

    `peers` are the nodes with which this one has open calls, streams or watches. `rules` None means that all of the
    realm may talk to it. `stream_memory` bounds the bytes that relays may hold for it. `fingerprint` names the contract
    that it publishes. `visiting` is a tool that looks around: nobody needs to know it after a restart of the broker.
    """

    attempt: Count
    protocol: Count
    key: bytes
    realm: Count
    type: ActrType
    name: Name
    visible: bool = True
    peers: tuple[Serial, ...] = ()
    rules: tuple[Rule, ...] | None = None
    data: Name = ""
    """Where this node takes stream frames: an endpoint."""
    stream_memory: Count = 0
    fingerprint: Name = ""
    host: Name = ""
    pid: Count = 0
    version: Name = ""
    draining: bool = False
    description: Text = ""
    tags: Tags = ()
    uptime: Count = 0
    visiting: bool = False


class Registered(Message, frozen=True, tag=2):
    """B→N: you are in, for this session of this epoch. `token` opens the relay and vouches for the watchdog."""

    attempt: Count
    session: Count
    epoch: Count
    broker_time: Count
    lease: Count
    renew: Count
    body_limit: Count
    token: bytes
    relay: Name = ""


class Refused(Message, frozen=True, tag=3):
    """B→N: no. `fatal` False: try again; later where the `status` is RESOURCE_EXHAUSTED, else under a new key."""

    attempt: Count
    status: Count
    message: Text
    fatal: bool = True


class Renew(Message, frozen=True, tag=4):
    """N→B: still here. `sent` is the node's own clock, echoed in `Renewed`.

    `received` (bytes of this session on the control plane) and `relayed` (the last count seen on the relay) are
    absolute: they free the broker's budget for this node, and a lost one does no harm. `streams` are part of `load`.
    """

    session: Count
    sent: Count
    load: Count = 0
    lag: Count = 0
    received: Count = 0
    relayed: Count = 0
    streams: Count = 0


class Renewed(Message, frozen=True, tag=5):
    """B→N: your lease is renewed; the round trip gives you the broker's time."""

    session: Count
    epoch: Count
    sent: Count
    broker_time: Count


class Unknown(Message, frozen=True, tag=6):
    """B→N: I do not know you (I may have restarted): register."""


class Drain(Message, frozen=True, tag=7):
    """N→B: show me to nobody new; I finish what is open."""

    session: Count


class Deregister(Message, frozen=True, tag=8):
    """N→B: I leave; my serial is never used again."""

    session: Count


class Deregistered(Message, frozen=True, tag=9):
    """B→N: done, and those who know you have been told."""

    session: Count


class Lagging(Message, frozen=True, tag=10):
    """N's watchdog thread → B, on a connection of its own: the event loop has not turned for `lag`."""

    token: bytes
    lag: Count


class Discover(Message, frozen=True, tag=11):
    """N→B: who is of this type (or, without one, publishes this name)? `all` False: pick one by load.

    If any of them has this `fingerprint`, only those are meant.
    """

    query: Count
    type: ActrType | None
    name: Name = ""
    all: bool = False
    fingerprint: Name = ""


class Found(Message, frozen=True, tag=12):
    """B→N: these are live; the picked one first."""

    query: Count
    instances: tuple[Instance, ...]


class NotFound(Message, frozen=True, tag=13):
    """B→N: nobody, and nobody is expected. `hidden` counts live ones that do not take new work."""

    query: Count
    hidden: Count = 0


class NotYet(Message, frozen=True, tag=14):
    """B→N: nobody yet, but some were registered before the broker restarted and are expected."""

    query: Count


class Watch(Message, frozen=True, tag=15):
    """N→B: tell me of this type now, and of every change, until Unwatch."""

    query: Count
    type: ActrType | None
    name: Name = ""


class Unwatch(Message, frozen=True, tag=16):
    """N→B: enough."""

    query: Count


class Watching(Message, frozen=True, tag=17):
    """B→N: the snapshot at `version`. `expected`: more may come back after the broker's restart."""

    query: Count
    version: Count
    instances: tuple[Instance, ...]
    expected: bool = False


class Changed(Message, frozen=True, tag=18):
    """B→N: one change, in order. `reason` None: the instance is up; else it is down, or takes no new work."""

    query: Count
    version: Count
    instance: Instance
    reason: Reason | None = None


class Introduce(Message, frozen=True, tag=19):
    """B→N: a peer that will talk to you, or you to it, and what it may do to you."""

    id: ActrId
    may_call: bool
    may_stream: bool


class Returned(Message, frozen=True, tag=20):
    """B→N: not delivered; the frames after this batch are the message as it was, without its `to`."""

    to: Serial
    reason: Reason


class PeerDown(Message, frozen=True, tag=21):
    """B→N: a peer of yours is gone for good."""

    serial: Serial
    reason: Reason


class PeerBack(Message, frozen=True, tag=22):
    """B→N: a peer of yours registered again; what was under way to it may be lost, so say it again."""

    serial: Serial


class Publish(Message, frozen=True, tag=23):
    """N→B: the contents of the contract with this fingerprint, packed. The broker's core does not open `body`."""

    fingerprint: Name
    body: bytes


class Describe(Message, frozen=True, tag=24):
    """N→B: which contract is published under this type, name and fingerprint, as far as they are given?

    Without a fingerprint: the newest of those that live instances publish, else the newest one.
    """

    query: Count
    type: ActrType | None
    name: Name = ""
    fingerprint: Name = ""
    with_files: bool = True


class Spec(Message, frozen=True, tag=25):
    """B→N: this one; `body` is what was published, or empty where only the facts were asked for."""

    query: Count
    facts: Facts
    body: bytes


class Wanted(Message, frozen=True, tag=26):
    """B→N: your contract is new here: Publish it."""

    fingerprint: Name


class NoSpec(Message, frozen=True, tag=27):
    """B→N: there is no such contract, or it, or the list, can't be had now; and why."""

    query: Count
    failure: Failure


class ListNodes(Message, frozen=True, tag=28):
    """N→B: who is registered in my realm, visible or not? All are told."""

    query: Count


class Nodes(Message, frozen=True, tag=29):
    """B→N: these, and, if `more`, others in the next message."""

    query: Count
    rows: tuple[Listed, ...]
    more: bool = False


class Inspect(Message, frozen=True, tag=30):
    """N→B: tell me what you have counted, and the dead letters of my realm."""

    query: Count


class Inspected(Message, frozen=True, tag=31):
    """B→N: these, the latest first, and, if `more`, others in the next message. `counts` are in the first one."""

    query: Count
    counts: Counts
    letters: tuple[DeadLetter, ...] = ()
    more: bool = False


class Dropped(Message, frozen=True, tag=32):
    """N→B: what I have dropped since I last said so. Who says it is what the broker vouches for, not `by`."""

    letters: tuple[DeadLetter, ...]


class NoWatch(Message, frozen=True, tag=33):
    """B→N: I do not tell you of this one, and why; what the query watched before is over, too."""

    query: Count
    failure: Failure


class Call(Message, frozen=True, tag=40):
    """Run `route` and reply. `timeout` is what remains when the batch is sent.

    `chain` are the serials of the calls that led here, this caller last; `signal` overtakes what waits.
    """

    id: CallId
    route: Name
    body: bytes
    timeout: Count
    chain: tuple[Serial, ...] = ()
    signal: bool = False
    metadata: Metadata | None = None


class Reply(Message, frozen=True, tag=41):
    """How call `id` ended: with `body`, or with `failure`."""

    id: CallId
    body: bytes
    failure: Failure | None = None
    metadata: Metadata | None = None


class Tell(Message, frozen=True, tag=42):
    """Run `route` and reply to nobody: at most once."""

    route: Name
    body: bytes
    timeout: Count
    signal: bool = False
    metadata: Metadata | None = None


class Cancel(Message, frozen=True, tag=43):
    """Stop call `id`; nobody waits for it any more."""

    id: CallId


class Outstanding(Message, frozen=True, tag=44):
    """All that I still have open with you; forget the rest.

    `calls` are the ids up to `upto` that wait for a reply; `opens` are my streams to you, open or being opened.
    """

    calls: tuple[CallId, ...]
    upto: Count
    opens: tuple[int, ...] = ()


class OpenStream(Message, frozen=True, tag=45):
    """May I send the stream `stream_id` to you? `open` names this request; the same again repeats it.

    `grants` is where the sender takes grants on the direct path.
    """

    open: Count
    stream_id: Name
    lane: Lane
    path: Path
    grants: Name = ""


class Opened(Message, frozen=True, tag=46):
    """Yes: send on `channel`, to `data` where the path is direct, within the limits."""

    open: Count
    channel: Channel
    path: Path
    limit_frames: Count
    limit_bytes: Count
    data: Name = ""


class OpenRefused(Message, frozen=True, tag=47):
    """No, and why."""

    open: Count
    failure: Failure


class Grant(Message, frozen=True, tag=48):
    """Receiver: so much has come, so much is done (frames), and so much you may send in all. Absolute.

    A frame may go while fewer than `limit_frames` frames and fewer than `limit_bytes` payload bytes have gone, so one
    frame may reach over the byte limit, and no frame is ever too large for its window.
    """

    channel: Channel
    received: Count
    completed: Count
    limit_frames: Count
    limit_bytes: Count


class Probe(Message, frozen=True, tag=49):
    """Sender: `last` frames have gone and I hear nothing; answer with a Grant."""

    channel: Channel
    last: Count


class Resend(Message, frozen=True, tag=50):
    """Receiver: frames from number `start` on did not come."""

    channel: Channel
    start: Count


class End(Message, frozen=True, tag=51):
    """Sender: `count` frames were all of it; acknowledge when the last is done."""

    channel: Channel
    count: Count
    dropped: Count = 0


class EndAck(Message, frozen=True, tag=52):
    """Receiver: every frame is done."""

    channel: Channel


class Reset(Message, frozen=True, tag=53):
    """Either end: it is over. `last` frames were done, or (from the sender) had gone."""

    channel: Channel
    failure: Failure
    last: Count


class _Frame(Struct, array_like=True, gc=False):
    stream_id: Name
    sequence: int
    payload: bytes
    timestamp_ms: int | None = None
    metadata: Metadata | None = None


if TYPE_CHECKING:

    class DataStream:
        """One frame of a stream. `sequence` is the sender's own number and is carried unread."""

        def __init__(
            self,
            stream_id: str,
            sequence: int,
            payload: bytes,
            timestamp_ms: int | None = None,
            metadata: dict[str, str] | None = None,
        ) -> None: ...
        def stream_id(self) -> str: ...
        def sequence(self) -> int: ...
        def payload(self) -> bytes: ...
        def timestamp_ms(self) -> int | None: ...
        def metadata(self) -> dict[str, str] | None: ...

else:
    # A struct is filled through its slots and read here through methods of the same names: built in 0.05 µs, and
    # encoded as it stands. A Python class with properties takes five times as long.
    _stream_id = _Frame.stream_id.__get__
    _sequence = _Frame.sequence.__get__
    _payload = _Frame.payload.__get__
    _timestamp_ms = _Frame.timestamp_ms.__get__
    _metadata = _Frame.metadata.__get__

    class DataStream(_Frame):
        """One frame of a stream. `sequence` is the sender's own number and is carried unread."""

        def stream_id(self):
            return _stream_id(self)

        def sequence(self):
            return _sequence(self)

        def payload(self):
            return _payload(self)

        def timestamp_ms(self):
            """Milliseconds since the Unix epoch, where the sender gave them."""
            return _timestamp_ms(self)

        def metadata(self):
            return _metadata(self)


class Frames(Message, frozen=True, tag=54):
    """Frames number `first`, `first` + 1, … of a channel; of them those at `large` have their payload in a frame of
    its own, in order. `dropped` counts, since the stream began, what a latency-first sender has dropped before them.
    """

    channel: Channel
    first: Count
    frames: list[DataStream]
    large: tuple[int, ...] = ()
    dropped: Count = 0


class Farewell(Message, frozen=True, tag=55):
    """I leave. Of your calls these have run or were begun, and I take no others: what is not listed has not run."""

    begun: tuple[CallId, ...] = ()


ToBroker = (
    Register
    | Renew
    | Drain
    | Deregister
    | Lagging
    | Discover
    | Watch
    | Unwatch
    | Publish
    | Describe
    | ListNodes
    | Inspect
    | Dropped
)
FromBroker = (
    Registered
    | Refused
    | Renewed
    | Unknown
    | Deregistered
    | Found
    | NotFound
    | NotYet
    | Watching
    | Changed
    | Introduce
    | Returned
    | PeerDown
    | PeerBack
    | Wanted
    | Spec
    | NoSpec
    | Nodes
    | Inspected
    | NoWatch
)
WithBody = Call | Reply | Tell | Publish | Spec
"""What may have a body so large that it travels as a frame of its own."""
RpcMessage = Call | Reply | Tell | Cancel | Outstanding | Farewell
StreamControl = OpenStream | Opened | OpenRefused | Grant | Probe | Resend | End | EndAck | Reset
Between = RpcMessage | StreamControl
"""What one node says to another over the control plane; the broker does not read it."""
OnStreamPlane = Frames | Probe | End | Reset | Grant | Resend | EndAck
"""What travels from node to node beside the control plane."""
Envelope = ToBroker | FromBroker | Between


class Batch(Struct, frozen=True, array_like=True):
    """What one process says to one other in one turn of its loop.

    `sent_at` is broker time, 0 where it is not known yet; `settled` are call ids of the sender that the receiver
    may forget when it has read the envelopes, which may say such a call once more; the envelopes at `large` have
    their body in a frame of its own, in order.
    """

    sent_at: Count
    envelopes: list[Envelope]
    settled: tuple[CallId, ...] = ()
    large: tuple[int, ...] = ()
