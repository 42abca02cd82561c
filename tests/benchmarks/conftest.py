"""The message class of the benchmarks is generated, once, before anything of them is imported."""

import fcntl
from pathlib import Path

from benchmarks.messages import FOLDER, generate

with Path(FOLDER / "messages.proto").open("rb") as lock:  # other workers want it as well
    fcntl.flock(lock, fcntl.LOCK_EX)
    generate()
