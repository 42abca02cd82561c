"""A project with a service that does whatever a test of the command line needs: it echoes, fails, waits and streams."""

from __future__ import annotations

from pathlib import Path

from tests.cli.commands import actr
from tests.e2e.world import Program, World

TYPE = "acme+Lab"

MANIFEST = """
exports = ["protos/local/lab.proto"]
[package]
name = "lab"
description = "Tries things out."
tags = ["test"]
[package.actr_type]
manufacturer = "acme"
name = "Lab"
"""

PROTO = """
syntax = "proto3";
package lab;

import "google/protobuf/timestamp.proto";

// Tries things out.
service Lab {
  // Says what it is told.
  rpc Echo(Sample) returns (Sample);
  // Raises the error of that name.
  rpc Fail(Sample) returns (Sample);
  rpc Sleep(Sample) returns (Sample);
  // Sends `parts` on the stream `name`.
  rpc Send(Sample) returns (Sample);
  // Says the metadata of its call.
  rpc Headers(Sample) returns (Sample);
}

service Other { rpc Echo(Sample) returns (Sample); }

enum Colour { COLOUR_UNSPECIFIED = 0; RED = 1; }

message Sample {
  string name = 1;
  int64 big = 2;
  Colour colour = 3;
  map<string, int32> counts = 4;
  google.protobuf.Timestamp at = 5;
  repeated bytes parts = 6;
  optional double ratio = 7;
  string stream_id = 8;
}
"""

SERVER = """
import asyncio
from pathlib import Path

import actrzmq
from actrzmq import ActrSystem, DataStream, Dest
from generated.lab_actor import LabHandler, LabWorkload
from generated.other_actor import OtherHandler, OtherWorkload


class Lab(LabHandler):
    async def echo(self, req, ctx):
        return req

    async def fail(self, req, ctx):
        raise getattr(actrzmq, req.name)("as you wish\\n\\x1b[31m", details={"why": "asked"})

    async def sleep(self, req, ctx):
        print("sleeping", req.name, flush=True)
        await asyncio.sleep(60)

    async def headers(self, req, ctx):
        req.name = str(dict(ctx.metadata()))
        return req

    async def send(self, req, ctx):
        self.task = asyncio.create_task(self.push(req, ctx, Dest.actor(ctx.caller_id())))
        return req

    async def push(self, req, ctx, dest):
        for number, part in enumerate(req.parts, 1):
            await ctx.send_stream(dest, DataStream(req.stream_id, number, part, metadata={"n": str(number)}))
        if req.name == "end":
            await ctx.end_stream(dest, req.stream_id)
        elif req.name == "abort":
            await ctx.abort_stream(dest, req.stream_id, "enough")


class Other(OtherHandler):
    async def echo(self, req, ctx):
        return req


async def main():
    async with await ActrSystem.from_toml(Path(__file__).with_name("Actr.toml")) as system:
        ref = await system.attach(LabWorkload(Lab()), OtherWorkload(Other())).start()
        print("serving", ref.actor_id(), flush=True)
        await ref.wait_for_ctrl_c_and_shutdown()


asyncio.run(main())
"""


def write(folder: Path) -> None:
    """Write and generate the project."""
    for path, text in {"Actr.toml": MANIFEST, "protos/local/lab.proto": PROTO, "main.py": SERVER}.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    found = actr("gen", cwd=folder)
    assert found.returncode == 0, found.stderr


def start(world: World, folder: Path) -> Program:
    """Start the service, and wait until it is registered."""
    server = world.start("main.py", cwd=folder)
    server.wait_for(r"serving (\S+)")
    return server
