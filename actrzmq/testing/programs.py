"""What supervisord runs in a `SupervisedCluster`: programs, and the files that make them so."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from msgspec import Struct

from actrzmq.errors import ActrConfigError


class Program(Struct, frozen=True):
    """One `[program:…]` of supervisord. `command` is run without a shell; it may begin with `sys.executable`."""

    command: Sequence[str]
    cwd: Path | None = None
    """By default the cluster's folder."""
    environment: Mapping[str, str] = {}
    numprocs: int = 1
    """With more than one, the processes of `server` are `server_0`, `server_1`, …"""
    autostart: bool = True
    autorestart: bool = True
    startsecs: int = 0
    """Seconds that it has to run to count as started."""
    stopwaitsecs: int = 15
    """Seconds from SIGTERM to SIGKILL."""


BROKER = "broker"


def broker_program(url: str, broker_toml: Path | None = None) -> Program:
    """A broker that listens at `url`."""
    config = () if broker_toml is None else ("--config", str(broker_toml))
    code = "from actrzmq.brokerd.main import main; main()"
    return Program((sys.executable, "-c", code, *config, "--listen", url), startsecs=0)


def process_names(name: str, program: Program) -> dict[str, str]:
    """What supervisord calls the processes of a program, by our names; `ActrConfigError` for what can't be one."""
    if not re.fullmatch(r"[A-Za-z0-9_.-]+", name):
        raise ActrConfigError(f"{name!r} can't be the name of a program: letters, digits, _ . and - only")
    if program.numprocs == 1:
        return {name: name}
    return {f"{name}_{number}": f"{name}:{name}_{number}" for number in range(program.numprocs)}


def launcher(program: Program) -> str:
    """A shell script that becomes the program. Supervisord would read quotes, `%` and `;` in its own way.

    The runtime stops when the process in `ACTRZMQ_PARENT` is gone, so that it does not outlive a supervisord.
    """
    if isinstance(program.command, str):
        raise ActrConfigError(f"the command {program.command!r}: expected a list, as in [sys.executable, 'main.py']")
    for text in (*program.command, *program.environment, *program.environment.values()):
        if "\0" in text:
            raise ActrConfigError(f"{text!r}: neither a command nor an environment may have NUL in it")
    exports = [f"export {name}={shlex.quote(value)}" for name, value in program.environment.items()]
    return "\n".join(["export ACTRZMQ_PARENT=$PPID", *exports, f"exec {shlex.join(program.command)}", ""])


def section(name: str, program: Program, folder: Path, script: Path) -> str:
    """The program's part of supervisord.conf, with its logs in `folder`."""
    is_one = program.numprocs == 1
    process = "%(program_name)s" if is_one else "%(program_name)s_%(process_num)d"
    return (
        f"[program:{name}]\n"
        f"command=/bin/sh {_plain(script)}\n"
        f"directory={_plain(program.cwd or folder)}\n"
        f"process_name={process}\n"
        f"numprocs={program.numprocs}\n"
        f"autostart={str(program.autostart).lower()}\n"
        f"autorestart={str(program.autorestart).lower()}\n"
        f"startsecs={program.startsecs}\n"
        "startretries=1000000\n"
        f"stopwaitsecs={program.stopwaitsecs}\n"
        "stopasgroup=true\nkillasgroup=true\n"
        f"stdout_logfile={_plain(folder)}/{process}.log\n"
        "stdout_logfile_maxbytes=0\n"
        "redirect_stderr=true\n\n"
    )


def supervisord_conf(programs: Mapping[str, Program], folder: Path, scripts: Mapping[str, Path], socket: Path) -> str:
    """All of supervisord.conf."""
    return (
        f"[supervisord]\nlogfile={_plain(folder)}/supervisord.log\npidfile={_plain(folder)}/supervisord.pid\n"
        f"childlogdir={_plain(folder)}\numask=077\n\n"
        f"[unix_http_server]\nfile={_plain(socket)}\nchmod=0700\n\n"
        "[rpcinterface:supervisor]\n"
        "supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\n"
        "[rpcinterface:actrzmq]\nsupervisor.rpcinterface_factory=actrzmq.supervision.plugin:make_rpcinterface\n\n"
        + "".join(section(name, program, folder, scripts[name]) for name, program in programs.items())
    )


def _plain(path: Path) -> str:
    """A path as supervisord reads one. Raises `ActrConfigError` for what it would take for something else."""
    text = str(path)
    if any(letter.isspace() or letter in ";#'\"\\" for letter in text):
        raise ActrConfigError(f"{path}: supervisord can't work with spaces, quotes, ; # or \\ in a path")
    return text.replace("%", "%%")
