"""Running a main program, on the event loop that its manifest asks for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from actrzmq.errors import ActrConfigError
from actrzmq.manifest.load import load_manifest
from actrzmq.manifest.model import Manifest

_Result = TypeVar("_Result")

log = logging.getLogger("actrzmq.node")


def run(main: Coroutine[Any, Any, _Result], manifest: str | Path) -> _Result:
    """Run `main` as `asyncio.run` does, on uvloop where `manifest` says `system.runtime.uvloop = true`.

    Raises `ActrConfigError`, with nothing of `main` run, for a manifest that can't be read, and where uvloop is asked
    for and not installed; beside that, what `main` raises.
    """
    try:
        new_loop = _new_loop(load_manifest(Path(manifest)))
    except BaseException:  # Ctrl-C as well: a coroutine that nobody has run would be complained of
        main.close()
        raise
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


def check_loop(manifest: Manifest, loop: asyncio.AbstractEventLoop) -> None:
    """Warn where the manifest asks for uvloop, and the program runs on another loop: nobody would notice."""
    if manifest.runtime.uvloop and not type(loop).__module__.startswith("uvloop"):
        log.warning("system.runtime.uvloop is true, and this is another loop; start the program with actrzmq.run")


def _new_loop(manifest: Manifest) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if not manifest.runtime.uvloop:
        return None
    try:
        new_loop: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError:
        raise ActrConfigError(
            f"{manifest.path}: system.runtime.uvloop is true, and uvloop is not installed; "
            "`pip install 'actrzmq[uvloop]'`, or remove the setting"
        ) from None
    return new_loop
