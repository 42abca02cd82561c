"""Running protoc, the one that comes with grpcio-tools, on sources held in memory."""

from __future__ import annotations

import re
import subprocess  # runs our own interpreter only
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool

from actrzmq.codegen.sources import Source
from actrzmq.errors import ActrConfigError

TIMEOUT_S = 60.0
_MAX_ERRORS = 20

_POSITION = re.compile(r"(?P<path>[^\s:]+\.proto):(?:(?P<line>\d+):(?P<column>\d+):)? (?P<text>.*)")


def compile_protos(sources: Mapping[str, Source]) -> dict[str, FileDescriptorProto]:
    """The descriptors of `sources` and of all that they import, by path, imports before importers.

    They carry positions and comments. protoc sees copies in a folder of its own, so imports can't lead
    outside. Raises `ActrConfigError` with file and line of what protoc refuses, or with the file that Python
    could not load.
    """
    if not sources:
        return {}
    with TemporaryDirectory(prefix="actr-protoc-") as folder:
        stage, output = Path(folder, "protos"), Path(folder, "descriptors")
        for source in sources.values():
            copy = stage / source.path
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(source.text.encode())
        found = _run(stage, output, sorted(sources))
        if found.returncode != 0 or not output.exists():
            raise ActrConfigError(_explain(found.stderr, sources))
        descriptors = FileDescriptorSet.FromString(output.read_bytes())
    _check_loads(descriptors, sources)
    return {file.name: file for file in descriptors.file}


def _run(stage: Path, output: Path, paths: list[str]) -> subprocess.CompletedProcess[str]:
    # A process of its own: protoc writes errors to the C++ stderr, and a file that crashes or stalls it
    # must not take us along. -P: no module in the current folder can pose as grpc_tools.
    command = [
        *(sys.executable, "-P", "-m", "grpc_tools.protoc", "--proto_path=."),
        *("--include_imports", "--include_source_info", f"--descriptor_set_out={output}"),
        *paths,
    ]
    try:
        return subprocess.run(  # noqa: S603  # fixed program; paths were checked and none begins with - or @
            command,
            cwd=stage,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=TIMEOUT_S,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except subprocess.TimeoutExpired:
        raise ActrConfigError(f"protoc did not finish {', '.join(paths[:3])}… in {TIMEOUT_S:.0f} s") from None


def _check_loads(descriptors: FileDescriptorSet, sources: Mapping[str, Source]) -> None:
    """Refuse what protoc takes but Python's protobuf does not, such as fields whose JSON names meet in proto2."""
    pool = DescriptorPool()
    for file in descriptors.file:
        try:
            pool.AddSerializedFile(file.SerializeToString())
        except TypeError as error:
            where = sources[file.name].shown if file.name in sources else file.name
            raise ActrConfigError(f"{where}: protobuf's Python runtime refuses it: {error}") from None


def _explain(stderr: str, sources: Mapping[str, Source]) -> str:
    errors = []
    for line in stderr.splitlines():
        match = _POSITION.fullmatch(line.strip())
        if match is None or match["text"].startswith("warning:"):
            continue
        source = sources.get(match["path"])
        where = source.shown if source else match["path"]
        if match["line"]:
            where += f":{match['line']}:{match['column']}"
        errors.append(f"{where}: {match['text']}")
    if not errors:
        return f"protoc failed: {stderr.strip()[-1000:] or 'it said nothing'}"
    if len(errors) > _MAX_ERRORS:
        errors[_MAX_ERRORS:] = [f"… and {len(errors) - _MAX_ERRORS} more"]
    return "\n".join(errors)
