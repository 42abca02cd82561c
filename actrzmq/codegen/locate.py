"""Where in a .proto file something is declared, and what its comment says: protoc's source info."""

from __future__ import annotations

from google.protobuf.descriptor_pb2 import FileDescriptorProto, SourceCodeInfo

# Field numbers of FileDescriptorProto and ServiceDescriptorProto: the paths of source info are made of them.
IMPORT = 3
MESSAGE = 4
ENUM = 5
SERVICE = 6
IMPORT_OPTION = 15
METHOD = 2


class Places:
    """The positions and comments of one file."""

    def __init__(self, file: FileDescriptorProto, shown: str) -> None:
        self._shown = shown
        self._found: dict[tuple[int, ...], SourceCodeInfo.Location] = {
            tuple(location.path): location for location in file.source_code_info.location
        }

    def where(self, *path: int) -> str:
        """`file:line` of the element at `path`; the file alone where it is not known."""
        location = self._found.get(path)
        return f"{self._shown}:{location.span[0] + 1}" if location and location.span else self._shown

    def doc(self, *path: int) -> str:
        """The comment in front of the element at `path`, or else behind it."""
        location = self._found.get(path)
        if location is None:
            return ""
        comment = location.leading_comments or location.trailing_comments
        return "\n".join(line.strip() for line in comment.strip().splitlines())
