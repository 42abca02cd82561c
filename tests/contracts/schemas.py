"""Descriptors from .proto text at the speed that tables and generated cases need: protoc runs in this process."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

HEADS = {
    "proto2": 'syntax = "proto2"; package p; ',
    "proto3": 'syntax = "proto3"; package p; ',
    "edition": 'edition = "2023"; package p; ',
}

_OWN = Path(protoc.__file__).parent / "_proto"


def schema(**files: str) -> list[FileDescriptorProto]:
    """The descriptors of `files`, given as name=text, as a contract has them."""
    with TemporaryDirectory() as folder:
        names = [f"{name}.proto" for name in files]
        for name, text in zip(names, files.values(), strict=True):
            Path(folder, name).write_text(text)
        found = Path(folder, "found")
        code = protoc.main(
            ["protoc", f"-I{folder}", f"-I{_OWN}", f"--descriptor_set_out={found}", "--include_source_info", *names]
        )
        assert code == 0, "protoc refused it; its words are on stderr"
        return list(FileDescriptorSet.FromString(found.read_bytes()).file)


def of(syntax: str, body: str) -> list[FileDescriptorProto]:
    """One file of the package `p`."""
    return schema(a=HEADS[syntax] + body)
