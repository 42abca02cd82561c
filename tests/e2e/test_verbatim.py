"""The handlers exactly as the specification shows them, without types and without an end of the stream."""

import shutil
from pathlib import Path

import pytest

from tests.e2e.world import World, messages, received

SERVER = """
import asyncio
from actrzmq import DataStream, Dest
from generated.local.stream_server_pb2 import RegisterStreamResponse
from generated.stream_server_actor import StreamServerHandler

class StreamServer(StreamServerHandler):
    def __init__(self, interval):
        pass

    async def register_stream(self, req, ctx):
        caller = ctx.caller_id()
        async def _send_stream_messages():
            for i in range(1, req.message_count + 1):
                await ctx.send_stream(Dest.actor(caller), DataStream(
                    stream_id=req.stream_id, sequence=i,
                    payload=f"[server] Stream message {i} for {req.stream_id}".encode("utf-8")))
                await asyncio.sleep(1.0)
        asyncio.create_task(_send_stream_messages())
        return RegisterStreamResponse(success=True, message=f"Stream {req.stream_id} registered successfully")
"""

CLIENT = """
import asyncio, logging, sys
from actrzmq import ActrSystem, ActrType, DataStream, Dest
from generated.local import stream_client_pb2 as pb2
from generated import local_stream_service_actor as local_service_actor
from generated.remote.stream_register_server_python import stream_server_pb2 as server_pb2

logger = logging.getLogger("client")

class LocalStreamService(local_service_actor.LocalStreamServiceHandler):
    def __init__(self):
        self.server_type = ActrType("acme", "StreamEchoServer")

    async def start_stream(self, req, ctx):
        server_id = await ctx.discover(self.server_type)          # ActrType("acme", "StreamEchoServer")

        async def stream_callback(stream: DataStream, sender_id):
            logger.info("Received: %s", stream.payload().decode("utf-8"))

        await ctx.register_stream(req.stream_id, stream_callback)   # before asking for the stream
        register_req = server_pb2.RegisterStreamRequest(stream_id=req.stream_id, message_count=req.message_count)
        response = await ctx.call(Dest.actor(server_id), register_req.route_key, register_req)
        return pb2.StartStreamResponse(success=response.success, message=response.message)

class Count(logging.Handler):
    def __init__(self, count):
        super().__init__()
        self.missing, self.done = count, asyncio.Event()

    def emit(self, record):
        print(record.getMessage(), flush=True)
        self.missing -= 1
        if not self.missing:
            self.done.set()

async def main():
    logging.basicConfig(level=logging.WARNING)
    lines = Count(3)
    logger.setLevel(logging.INFO)
    logger.addHandler(lines)
    logger.propagate = False
    system = await ActrSystem.from_toml("Actr.toml")
    node = system.attach(local_service_actor.LocalStreamServiceWorkload(LocalStreamService()))
    ref = await node.start()
    await ref.discover(ActrType("acme", "StreamEchoServer"), timeout_ms=20000)
    request = pb2.StartStreamRequest(stream_id="my-stream", message_count=3)
    response = await ref.call(request.route_key, request)
    print(response.success, response.message)
    await lines.done.wait()
    await ref.shutdown()

asyncio.run(main())
"""


def test_the_handlers_of_the_specification_run_to_the_letter(world: World, tmp_path: Path) -> None:
    for side, program, text in (("server", "stream_server.py", SERVER), ("client", "client.py", CLIENT)):
        shutil.copytree(world.example / side, tmp_path / side)
        (tmp_path / side / program).write_text(text)
    world.broker()
    server = world.start("server.py", cwd=tmp_path / "server")
    client = world.start("client.py", cwd=tmp_path / "client")
    assert client.wait(60) == 0, client.err
    assert "True Stream my-stream registered successfully" in client.out
    assert received(client) == messages(3, "my-stream")
    assert client.err == ""
    server.stop()
    assert "WARNING" not in server.err
    assert "Traceback" not in server.err
    assert server.process.returncode == 0


@pytest.mark.parametrize("count", [0, 2])
def test_the_examples_client_does_not_need_an_end_of_the_stream(world: World, tmp_path: Path, count: int) -> None:
    shutil.copytree(world.example / "server", tmp_path / "server")
    (tmp_path / "server" / "stream_server.py").write_text(SERVER)
    world.broker()
    server = world.start("server.py", cwd=tmp_path / "server")
    client = world.client("my-stream", str(count))
    assert client.wait(60) == 0
    assert received(client) == messages(count, "my-stream")
    assert client.err == ""
    server.stop()
    assert "WARNING" not in server.err
    assert "Traceback" not in server.err
