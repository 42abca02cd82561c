"""The .proto files that protobuf itself brings along."""

from __future__ import annotations

COMES_WITH_PROTOC = "google/protobuf/"
"""Where every compiler has protobuf's own files, those below and some that only describe options."""

WELL_KNOWN = {
    f"google/protobuf/{name}.proto": f"google.protobuf.{name}_pb2"
    for name in (
        "any",
        "api",
        "descriptor",
        "duration",
        "empty",
        "field_mask",
        "source_context",
        "struct",
        "timestamp",
        "type",
        "wrappers",
    )
}
"""Their paths, as others import them, and the Python modules that hold them."""
