"""Generates `benchmarks/generated/messages_pb2.py` from messages.proto: `python -m benchmarks.messages`."""

from __future__ import annotations

import importlib.resources
import os
import tempfile
from pathlib import Path

FOLDER = Path(__file__).parent
PROTO = FOLDER / "messages.proto"
GENERATED = FOLDER / "generated"


def generate() -> None:
    """Write the message class, unless what is there is newer than the .proto file."""
    module = GENERATED / "messages_pb2.py"
    if module.exists() and module.stat().st_mtime >= PROTO.stat().st_mtime:
        return
    from grpc_tools import protoc

    GENERATED.mkdir(exist_ok=True)
    include = importlib.resources.files("grpc_tools") / "_proto"
    with tempfile.TemporaryDirectory(dir=FOLDER) as fresh:
        out = [f"--python_out={fresh}", f"--pyi_out={fresh}"]
        if protoc.main(["protoc", f"-I{FOLDER}", f"-I{include}", *out, str(PROTO)]):
            raise SystemExit(f"benchmarks: protoc could not read {PROTO.name}")
        for path in sorted(Path(fresh).iterdir(), reverse=True):  # the .pyi first: the module is what is looked for
            os.replace(path, GENERATED / path.name)


if __name__ == "__main__":
    generate()
