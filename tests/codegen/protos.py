"""Small helpers around .proto text for the tests of contracts and of generated code."""

from __future__ import annotations

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import Source

STREAM_SERVER = """\
syntax = "proto3";

package stream_server;

message RegisterStreamRequest {
  string stream_id = 1;
  int32 message_count = 2;
}

message RegisterStreamResponse {
  bool success = 1;
  string message = 2;
}

service StreamServer {
  rpc RegisterStream(RegisterStreamRequest) returns (RegisterStreamResponse);
}
"""

STREAM_CLIENT = """\
syntax = "proto3";

package stream_client;

message StartStreamRequest {
  string stream_id = 1;
  int32 message_count = 2;
}

message StartStreamResponse {
  bool success = 1;
  string message = 2;
}

service LocalStreamService {
  rpc StartStream(StartStreamRequest) returns (StartStreamResponse);
}
"""


def source(path: str, text: str) -> Source:
    return Source(path, path, Path(path), text)


def compiled(**files: str) -> dict[str, FileDescriptorProto]:
    """The descriptors of `files`, given as name=text."""
    sources = {f"{name}.proto": source(f"{name}.proto", text) for name, text in files.items()}
    return compile_protos(sources)
