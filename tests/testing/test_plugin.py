"""The pytest plugin as users have it: without pytest-asyncio, and with a test that does it wrong."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.e2e.world import run_python

TESTS = """
import asyncio
from google.protobuf.wrappers_pb2 import StringValue
from actrzmq import Context, Dest, rpc, service

@service("demo.Greeter", exported=True)
class Greeter:
    @rpc
    async def greet(self, req: StringValue, ctx: Context) -> StringValue:
        return StringValue(value=f"Hello, {req.value}!")

async def greet(cluster):
    ref = await cluster.start(Greeter())
    greeter = Dest.actor(ref.actor_id())
    request = StringValue(value="Ada")
    return await cluster.context().call(greeter, "demo.Greeter.Greet", request, response_type=StringValue)
"""

GOOD = """
def test_good(cluster):
    async def main():
        async with cluster:
            assert (await greet(cluster)).value == "Hello, Ada!"
    asyncio.run(main())
"""

FORGETFUL = """
def test_forgetful(cluster):
    async def main():
        await cluster.__aenter__()
    asyncio.run(main())
"""

LEAKY = """
def test_leaky(cluster):
    async def main():
        async with cluster:
            kept.append(asyncio.create_task(asyncio.sleep(60)))
    kept = []
    asyncio.run(main())
"""


def run(folder: Path, test: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text('pytest_plugins = ["actrzmq.testing.plugin"]\n')
    (folder / "test_it.py").write_text(TESTS + test)
    arguments = ("-m", "pytest", "-p", "no:cacheprovider", *arguments)
    gone_with_the_run = os.environ["XDG_RUNTIME_DIR"]  # what a cluster leaves that nobody has left
    return run_python(*arguments, cwd=folder, PYTEST_DISABLE_PLUGIN_AUTOLOAD="1", TMPDIR=gone_with_the_run)


def test_a_test_without_anything_else_enters_the_cluster_on_its_own_loop(tmp_path: Path) -> None:
    done = run(tmp_path, GOOD, "-W", "error")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_a_test_that_does_not_leave_its_cluster_is_told(tmp_path: Path) -> None:
    done = run(tmp_path, FORGETFUL)
    assert done.returncode == 1
    assert "the test has not left its cluster" in done.stdout


def test_leaks_are_shown_and_fail_a_test_only_if_that_is_wanted(tmp_path: Path) -> None:
    told = run(tmp_path, LEAKY)
    assert told.returncode == 0, told.stdout
    assert "LeakWarning: left behind: the task" in told.stdout
    assert run(tmp_path, LEAKY, "-W", "error::actrzmq.testing.LeakWarning").returncode == 1


def test_nothing_else_in_the_package_imports_pytest() -> None:
    program = "import actrzmq.testing, sys; print('pytest' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
