"""Where the time goes in our own processes: `python -m benchmarks.profiling rpc|stream|relay|large`.

py-spy looks at each process for some seconds while the work goes on, and leaves a flame graph, the stacks as text, and
the lines and functions in which most time was spent. It pauses the process for each sample, and looks at the wall
clock: what calls the kernel, or wakes a thread that then wants the same core, seems to take longer than it does.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.messages import generate

FOLDER = Path(__file__).parent / "results"
TOP = 15
SPYING = ("record", "--rate=500", "--threads")
WAITING = re.compile(r"^(EpollSelector\.select|BrokerLoop\._wait) ")
START_S = 2.0
"""What starting and ending py-spy may take, for one recording."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile. 1: py-spy is not there, or may not look at processes."""
    generate()  # before what needs it is imported
    from benchmarks.processes import Deployment
    from benchmarks.systems import SYSTEMS
    from benchmarks.work import Rpc, Stream, Task

    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiling", description="Where our time goes.")
    parser.add_argument("what", nargs="?", default="rpc", choices=("rpc", "stream", "relay", "large"))
    parser.add_argument("--seconds", type=int, default=4, help="of looking at each process")
    parser.add_argument("--native", action="store_true", help="C functions as well, where py-spy can see them")
    parser.add_argument("--gil", action="store_true", help="only what holds the interpreter: neither kernel nor libzmq")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR")
    given = parser.parse_args(arguments)
    spy = shutil.which("py-spy", path=f"{Path(sys.executable).parent}:{Path(sys.prefix) / 'bin'}")
    if spy is None:
        print("benchmarks: py-spy is not installed; `make profile` installs it", file=sys.stderr)
        return 1
    more = [f"--{name}" for name in ("native", "gil") if getattr(given, name)]
    given.out.mkdir(parents=True, exist_ok=True)
    seconds = 3 * 2 * (given.seconds + START_S)
    tasks: dict[str, Task] = {
        "rpc": Rpc(100, 64, seconds),
        "stream": Stream(100, seconds),
        "relay": Stream(100, seconds),
        "large": Stream(1_000_000, seconds, raw=True),
    }
    with Deployment(SYSTEMS["actrzmq relay" if given.what == "relay" else "actrzmq"]) as system:
        assert system.broker is not None
        client = system.clients[0]
        client.say(msgspec.json.encode(tasks[given.what]).decode())
        for role, process in (("broker", system.broker), ("server", system.server), ("client", client)):
            base = given.out / f"profile-{given.what}-{role}"
            for form, path in (("raw", base.with_suffix(".stacks")), ("flamegraph", base.with_suffix(".svg"))):
                command = [spy, *SPYING, f"--pid={process.pid}", f"--duration={given.seconds}"]
                command += [f"--format={form}", f"--output={path}", *more]
                done = subprocess.run(command, capture_output=True, text=True, check=False)
                if done.returncode:
                    print(f"benchmarks: py-spy: {done.stderr.strip()[-500:]}", file=sys.stderr)
                    return 1
            text = "\n".join(busiest(base.with_suffix(".stacks").read_text()))
            base.with_suffix(".txt").write_text(text + "\n")
            print(f"{given.what}: {role}\n{text}\n")
        figures = client.hear(timeout=seconds + 60)
    print(
        f"{figures['rate']:,.0f} a second, with py-spy beside it. Flame graphs: {given.out}/profile-{given.what}-*.svg"
    )
    return 0


def busiest(stacks: str) -> Iterator[str]:
    """The functions and the lines at the ends of the main thread's stacks, with their share of the time spent there.

    What waits for input is told apart: it is idle, or busy in the kernel and in libzmq, and py-spy can't say which.
    """
    functions: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    waiting = 0
    for stack in stacks.splitlines():
        frames, _, samples = stack.rpartition(" ")
        leaf = frames.rpartition(";")[2]
        if "MainThread" not in frames:
            continue
        if WAITING.search(leaf):
            waiting += int(samples)
            continue
        functions[re.sub(r":\d+\)$", ")", leaf)] += int(samples)
        lines[leaf] += int(samples)
    total = max(sum(lines.values()), 1)
    yield f"  {waiting} samples in poll, {total} elsewhere; self time of the latter:"
    for counted in (functions, lines):
        for name, count in counted.most_common(TOP):
            yield f"  {count / total:6.1%}  {name}"
        yield ""


if __name__ == "__main__":
    sys.exit(main())
