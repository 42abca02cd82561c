"""A process under test: one or more nodes that serve, or that call and stream, and write down what they do.

python -m tests.chaos.node server|client|crowd|sprint FOLDER NAME key=value…
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import signal
import sys
import time
from pathlib import Path

import msgspec
from google.protobuf.wrappers_pb2 import StringValue

from actrzmq import (
    ActrId,
    ActrRef,
    ActrRuntimeError,
    ActrSystem,
    ActrType,
    Context,
    DataStream,
    Dest,
    StreamHandle,
    rpc,
    service,
)
from tests.chaos.detours import take_detours
from tests.chaos.ledger import SUFFIX, Recorder
from tests.chaos.sabotage import SABOTAGE

CALL, BLOCK, TAKE, FEED = (f"chaos.Work.{name}" for name in ("Call", "Block", "Take", "Feed"))
OPEN_WITHIN_MS = 15_000
STUCK_S = 60
"""How long a client waits for the end of what it has open, once it begins nothing more."""


class Settings(msgspec.Struct, forbid_unknown_fields=True):
    """What the command line says: of the load, and of the process."""

    broker: str = ""
    seed: int = 0
    nodes: int = 1
    path: str = "auto"
    calls: float = 20
    """Calls a second of each node."""
    work_ms: int = 300
    """The longest a handler works."""
    timeout_ms: int = 20_000
    by_type: bool = False
    streams: int = 1
    """Streams that each node has open at a time."""
    sending: float = 0.5
    """The part of the streams that the client sends; it receives the others."""
    race: bool = False
    """A stream that the client sends is opened at once, while its receiver is still being asked to take it."""
    begin_s: float = 0
    """When the first stream is opened."""
    frames: int = 200
    frame_ms: float = 10
    payload: int = 200
    block_ms: int = 3_000
    """How long a server's loop is blocked on SIGUSR2 to a client."""
    nap_ms: int = 3_000
    """How long its own loop is blocked on SIGURG."""
    slow_ms: float = 0
    """How long a callback takes."""
    slow_for: str = ""
    """Only for streams whose names begin so."""
    stuck_after: int = 0
    """The callback of this frame and of all later ones never returns."""
    drain_ms: int = 10_000
    concurrency: int = 256
    queue: int = 10_000
    """Calls that run at a time, and that wait, in a server."""
    type: str = ""
    """What its actor type is called; else as its role."""
    target: str = "Server"
    """The actor type that a client turns to."""
    detours: bool = False
    """Peers are told the addresses of proxies, see `network.py`."""
    descriptors: int = 0
    """So many at most; 0 for as many as it gets."""
    sabotage: str = ""


@service("chaos.Work", exported=True)
class Work:
    """Works for a while, takes streams, and feeds them. A request is `key` and a number, with a blank between."""

    def __init__(self, book: Recorder, settings: Settings) -> None:
        self.book = book
        self.settings = settings
        self.tasks: set[asyncio.Task[None]] = set()

    @rpc
    async def call(self, req: StringValue, ctx: Context) -> StringValue:
        key, number = _ran(self.book, req)
        try:
            await asyncio.sleep(abs(number) / 1000)
        except asyncio.CancelledError:
            self.book.write("cancelled", key)
            raise
        self.book.write("done", key)
        if number < 0:
            raise ValueError(f"as asked by {key}")
        return StringValue(value=key)

    @rpc
    async def block(self, req: StringValue, ctx: Context) -> StringValue:
        key, number = _ran(self.book, req)
        time.sleep(number / 1000)  # noqa: ASYNC251  # that is the fault
        self.book.write("done", key)
        return StringValue(value=key)

    @rpc
    async def take(self, req: StringValue, ctx: Context) -> StringValue:
        key, _ = _ran(self.book, req)
        caller = ctx.caller_id()
        assert caller is not None
        handle = await receive(ctx, self.book, f"{key}.s", caller, self.settings)
        self._spawn(write_end(self.book, handle))
        self.book.write("done", key)
        return StringValue(value=key)

    @rpc
    async def feed(self, req: StringValue, ctx: Context) -> StringValue:
        key, count = _ran(self.book, req)
        caller = ctx.caller_id()
        assert caller is not None
        self._spawn(send(ctx, self.book, caller, f"{key}.s", count, self.settings))
        self.book.write("done", key)
        return StringValue(value=key)

    def _spawn(self, coroutine: object) -> None:
        task = asyncio.ensure_future(coroutine)  # type: ignore[call-overload]
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def _ran(book: Recorder, req: StringValue) -> tuple[str, int]:
    """Write that the handler runs, before anything else."""
    key, _, number = req.value.partition(" ")
    book.write("ran", key)
    return key, int(number)


async def receive(ctx: Context, book: Recorder, stream: str, sender: ActrId, settings: Settings) -> StreamHandle:
    """Take a stream; each frame is written down before its callback returns."""

    async def callback(frame: DataStream, sender_id: ActrId) -> None:
        if settings.slow_ms and stream.startswith(settings.slow_for):
            await asyncio.sleep(settings.slow_ms / 1000)
        if settings.stuck_after and frame.sequence() >= settings.stuck_after:
            await asyncio.Event().wait()
        book.write("got", stream, "", frame.sequence())

    handle = await ctx.register_stream(stream, callback, sender=sender, open_within_ms=OPEN_WITHIN_MS)
    book.write("expect", stream)
    return handle


async def write_end(book: Recorder, handle: StreamHandle) -> None:
    """Write how a stream that is received has ended."""
    try:
        frames = await handle.wait_closed()
    except ActrRuntimeError as error:
        book.write("closed", handle.stream_id, type(error).__name__, int(error.details.get("last", "-1")))
        logging.info("closed: %s", error)
    else:
        book.write("closed", handle.stream_id, "ok", frames)


async def send(ctx: Context, book: Recorder, to: ActrId, stream: str, count: int, settings: Settings) -> None:
    """Send a stream; each frame is written down before it leaves, and the end when it is acknowledged."""
    dest = Dest.actor(to)
    book.write("open", stream)
    try:
        for number in range(1, count + 1):
            book.write("push", stream, "", number)
            await ctx.send_stream(dest, DataStream(stream, number, b"x" * settings.payload))
            if settings.frame_ms:
                await asyncio.sleep(settings.frame_ms / 1000)
        await ctx.end_stream(dest, stream)
    except ActrRuntimeError as error:
        book.write("reset", stream, type(error).__name__, int(error.details.get("last", "-1")))
        logging.info("reset: %s", error)
    except asyncio.CancelledError:  # the process is stopping
        book.write("reset", stream, "stopped")
        raise
    else:
        book.write("ended", stream, "ok", count)


async def ask(ctx: Context, book: Recorder, dest: Dest, route: str, key: str, number: int, timeout_ms: int) -> str:
    """Call, and write down before it what is asked and after it what was told; returns the outcome."""
    book.write("invoke", key, str(dest), timeout_ms)
    request = StringValue(value=f"{key} {number}")
    wait = dest.actor_type is not None
    try:
        reply = await ctx.call(dest, route, request, timeout_ms, wait=wait, response_type=StringValue)
        outcome = "ok" if reply.value == key and number >= 0 else "wrong"
    except ActrRuntimeError as error:
        if f"as asked by {key}" in error.message:
            outcome = "error"
        else:
            outcome = f"{'unknown' if error.may_have_run else 'rejected'}:{type(error).__name__}"
    book.write("told", key, outcome)
    return outcome


class Client:
    """One node that calls at a steady rate and has streams open, until it is told to begin nothing more."""

    def __init__(self, name: str, ref: ActrRef, book: Recorder, settings: Settings, stop: asyncio.Event) -> None:
        self.name = name
        self.ref = ref
        self.book = book
        self.settings = settings
        self.target = ActrType("chaos", settings.target)
        self.stop = stop
        self.random = random.Random(f"{settings.seed} {name}")
        self.servers: list[ActrId] = []
        self.count = 0
        self.tasks: set[asyncio.Task[object]] = set()

    async def run(self) -> None:
        """Work until `stop`, then wait for what is open."""
        async with self.ref.context().watch(self.target) as watch:
            async with asyncio.timeout(STUCK_S):
                while not watch.instances:
                    await anext(watch)
            self.servers = watch.instances
            following = asyncio.create_task(self._follow(watch))
            loads = [asyncio.create_task(self._stream()) for _ in range(self.settings.streams)]
            try:
                if self.settings.calls:
                    await self._call()
                await self.stop.wait()
                await asyncio.wait([*self.tasks, *loads, asyncio.create_task(asyncio.sleep(0))], timeout=STUCK_S)
            finally:
                following.cancel()

    async def _follow(self, watch: object) -> None:
        async for _ in watch:  # type: ignore[attr-defined]
            self.servers = watch.instances  # type: ignore[attr-defined]

    async def _call(self) -> None:
        at = time.monotonic() + self.random.random()
        while not self.stop.is_set():
            at += 1 / self.settings.calls
            await self._pause(at - time.monotonic())
            dest = Dest.type(self.target) if self.settings.by_type else self._server()
            if dest is None:
                continue
            number = self.random.randint(0, self.settings.work_ms)
            if self.random.random() < 0.02:
                number = -number - 1
            work = ask(self.ref.context(), self.book, dest, CALL, self._key(), number, self.settings.timeout_ms)
            task: asyncio.Task[object] = asyncio.ensure_future(work)
            self.tasks.add(task)
            task.add_done_callback(self.tasks.discard)

    async def _stream(self) -> None:
        """One stream after the other, to a server and from one."""
        context, book = self.ref.context(), self.book
        await self._pause(self.settings.begin_s + self.random.random() / 2)
        while not self.stop.is_set():
            dest = self._server()
            if dest is None:
                await self._pause(0.05)
                continue
            assert dest.id is not None
            key = self._key()
            count = self.random.randint(self.settings.frames // 2, self.settings.frames)
            if self.settings.race:
                asking = ask(context, book, dest, TAKE, key, 0, self.settings.timeout_ms)
                await asyncio.gather(asking, send(context, book, dest.id, f"{key}.s", count, self.settings))
            elif self.random.random() < self.settings.sending:
                if await ask(context, book, dest, TAKE, key, 0, self.settings.timeout_ms) == "ok":
                    await send(context, book, dest.id, f"{key}.s", count, self.settings)
                else:
                    await self._pause(0.05)  # who is down is told so at once, and the watch must have its turn
            else:
                await self._receive(dest, key, count)

    async def _receive(self, dest: Dest, key: str, count: int) -> None:
        assert dest.id is not None
        stream = f"{key}.s"
        try:
            handle = await receive(self.ref.context(), self.book, stream, dest.id, self.settings)
        except ActrRuntimeError:
            await self._pause(0.05)  # it is known to be down
            return
        ending = asyncio.create_task(write_end(self.book, handle))
        if await ask(self.ref.context(), self.book, dest, FEED, key, count, self.settings.timeout_ms) != "ok":
            await asyncio.wait([ending], timeout=OPEN_WITHIN_MS / 1000 + 1)
        await ending

    def _server(self) -> Dest | None:
        return Dest.actor(self.random.choice(self.servers)) if self.servers else None

    def _key(self) -> str:
        self.count += 1
        return f"{self.name}-{self.count}"

    def block(self, ms: int) -> None:
        """Have a server's event loop blocked, if there is any."""
        dest = self._server()
        if dest is None:
            return
        work = ask(self.ref.context(), self.book, dest, BLOCK, self._key(), ms, self.settings.timeout_ms)
        task: asyncio.Task[object] = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(max(0, seconds)):
                await self.stop.wait()
        except TimeoutError:
            pass


class Registrations(logging.Handler):
    """Writes down each time that a node has registered."""

    def __init__(self, book: Recorder) -> None:
        super().__init__()
        self._book = book

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("registered"):
            self._book.write("registered", str(record.args[0] if isinstance(record.args, tuple) else ""))
        elif str(record.msg).startswith("fenced"):
            self._book.write("fenced", record.getMessage())


async def sprint(folder: Path, name: str, settings: Settings, book: Recorder) -> None:
    """Be a node that sends one stream, ends it and is gone, as often as there are `nodes`."""
    book.write("up", name)
    manifest = _manifest("sprint", folder, name, settings)
    for number in range(1, settings.nodes + 1):
        async with await ActrSystem.from_toml(manifest) as system:
            ref = await system.attach().start()
            context = ref.context()
            server = await context.discover(ActrType("chaos", settings.target))
            key = f"{name}.{number}"
            if await ask(context, book, Dest.actor(server), TAKE, key, 0, settings.timeout_ms) == "ok":
                await send(context, book, server, f"{key}.s", settings.frames, settings)
    book.write("left", name)


async def main(role: str, folder: Path, name: str, settings: Settings, book: Recorder) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGUSR1, stop.set)
    loop.add_signal_handler(signal.SIGURG, time.sleep, settings.nap_ms / 1000)
    async with await ActrSystem.from_toml(_manifest(role, folder, name, settings)) as system:
        work = [Work(book, settings) for _ in range(settings.nodes)]
        nodes = [system.attach(*([each] if role == "server" else [])) for each in work]
        refs = await asyncio.gather(*(node.start() for node in nodes))
        for ref in refs:
            book.write("up", str(ref.actor_id()))
        if role == "server":
            await refs[0].wait_for_ctrl_c_and_shutdown()
            await asyncio.wait([*work[0].tasks, asyncio.create_task(asyncio.sleep(0))], timeout=5)
        elif role == "client":
            clients = [Client(f"{name}.{at}", ref, book, settings, stop) for at, ref in enumerate(refs)]
            loop.add_signal_handler(signal.SIGUSR2, clients[0].block, settings.block_ms)
            await asyncio.gather(*(client.run() for client in clients))
        elif role == "crowd":
            await stop.wait()
    book.write("left", name)


def _manifest(role: str, folder: Path, name: str, settings: Settings) -> Path:
    path = folder / f"{name}.toml"
    type_name = settings.type or role.title()
    path.write_text(
        f'[package]\nname = "{role}"\n[package.actr_type]\nmanufacturer = "chaos"\nname = "{type_name}"\n'
        f'[system.broker]\nurl = "{settings.broker}"\n[system.streams]\npath = "{settings.path}"\n'
        f"[system.runtime]\ndrain_ms = {settings.drain_ms}\n"
        f"[system.dispatch]\nconcurrency = {settings.concurrency}\nqueue = {settings.queue}\n"
    )
    return path


def parse(words: list[str]) -> Settings:
    """Settings from `key=value`."""
    return msgspec.convert(dict(word.split("=", 1) for word in words), Settings, strict=False)


if __name__ == "__main__":
    role, folder, name, *words = sys.argv[1:]
    settings = parse(words)
    if settings.descriptors:
        resource.setrlimit(resource.RLIMIT_NOFILE, (settings.descriptors, settings.descriptors))
    if settings.detours:
        take_detours(Path(folder), name)
    if settings.sabotage:
        SABOTAGE[settings.sabotage]()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    book = Recorder(Path(folder) / f"{name}{SUFFIX}")
    logging.getLogger("actrzmq").addHandler(Registrations(book))
    book.write("begun", name, str(os.getpid()))
    if role == "sprint":
        asyncio.run(sprint(Path(folder), name, settings, book))
    else:
        asyncio.run(main(role, Path(folder), name, settings, book))
