"""One process of a system: `python -m benchmarks.worker broker|server|client MODULE …`, or `… program NAME …`.

A server says `{"ready": address}` on its standard output. A client does the same, then takes a task in each line of its
standard input, as JSON, and answers each in one line. All end when their standard input does. A program that is not
ours can't do that, and is killed with who started it.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import suppress

import msgspec

from benchmarks.systems import Client, Module, Place, load
from benchmarks.work import Figures, Task

PR_SET_PDEATHSIG = 1


def say(**what: object) -> None:
    """One line to who started this."""
    print(json.dumps(what), flush=True)


def main(arguments: list[str]) -> None:
    """Be the process that the command line says."""
    role, module, *rest = arguments
    if role == "program":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        os.execvp(module, [module, *rest])
    where = rest[0]
    if role == "broker":
        threading.Thread(target=_end_with_input, daemon=True).start()
        importlib.import_module(f"benchmarks.systems.{module}").broker(where)
        return
    place = msgspec.json.decode(where, type=Place)
    began = time.perf_counter()
    system = load(module)
    imported = time.perf_counter() - began
    runner = _uvloop if place.variant == "uvloop" else asyncio.run
    with suppress(KeyboardInterrupt):
        runner(_serve(system, place) if role == "server" else _work(system, place, imported))


def _uvloop(main: Coroutine[None, None, None]) -> None:
    import uvloop

    uvloop.run(main)


async def _serve(system: Module, place: Place) -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    await system.serve(place, lambda address: say(ready=address))


async def _work(system: Module, place: Place, imported: float) -> None:
    began = time.perf_counter()
    client = await system.connect(place)
    say(ready="", imports=imported * 1e3, connected=(time.perf_counter() - began) * 1e3)
    while line := await asyncio.to_thread(sys.stdin.readline):
        say(**await _answer(client, line))
    sys.stdout.flush()
    os._exit(0)  # nothing is to be tidied up, and some of these systems take seconds for it


async def _answer(client: Client, line: str) -> Figures | dict[str, str]:
    try:
        return await client.run(msgspec.json.decode(line, type=Task))
    except Exception as error:  # told to who asked, whatever it is
        return {"error": f"{type(error).__name__}: {error}"}


def _end_with_input() -> None:
    while sys.stdin.readline():
        pass
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
