"""What the figures were measured on: the machine and the versions, without a name or a path of it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("actrzmq", "pyzmq", "protobuf", "msgspec", "uvloop", "nats-py", "grpcio", "zerorpc", "xoscar", "matplotlib")


def describe() -> dict[str, str]:
    """Each fact with its name."""
    memory = re.search(r"MemTotal: +(\d+)", Path("/proc/meminfo").read_text())
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(memory[1]) / 1024**2:.0f} GiB" if memory else "?",
        "kernel": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "libzmq": _libzmq(),
        "nats-server": _nats_server(),
        **{name: _version(name) for name in PACKAGES},
    }


def load() -> float:
    """How many processes want a core, over the last minute: figures of a busy machine are worth little."""
    return os.getloadavg()[0]


def _processor() -> str:
    found = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    return found[1] if found else platform.machine()


def _libzmq() -> str:
    import zmq

    return zmq.zmq_version()


def _nats_server() -> str:
    program = shutil.which("nats-server")
    if program is None:
        return "not installed"
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    return said.strip().rpartition(" ")[2]


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
