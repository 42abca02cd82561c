"""A contract: the exported .proto files of a service, as text and as descriptors, with their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from msgspec import Struct

from actrzmq.contracts.fingerprint import (
    FileFingerprint,
    ServiceFingerprint,
    file_fingerprint,
    service_fingerprint,
)
from actrzmq.contracts.paths import check_distinct, check_proto_path
from actrzmq.errors import ActrConfigError

CONTRACT_FILE = "contract.json"
CONTRACT_VERSION = 1
RUN_GEN = "run `actr gen`"


class ContractFile(Struct, frozen=True):
    """One exported .proto file."""

    path: str
    """Relative to the root of its imports, with `/`."""
    digest: str
    """The SHA-256 of the file's bytes, in hex."""
    fingerprint: FileFingerprint
    source: str
    descriptor: bytes
    """A serialized `FileDescriptorProto`, without positions and comments."""

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    def parsed(self) -> FileDescriptorProto:
        """The descriptor as a message."""
        return FileDescriptorProto.FromString(self.descriptor)


class Contract(Struct, frozen=True):
    """What a service publishes about itself; files are sorted by path."""

    fingerprint: ServiceFingerprint
    files: tuple[ContractFile, ...]
    version: int = CONTRACT_VERSION


def contract_file(path: str, source: str, descriptor: FileDescriptorProto) -> ContractFile:
    """One file of a contract, from its text and what protoc made of it."""
    bare = FileDescriptorProto()
    bare.CopyFrom(descriptor)
    bare.ClearField("source_code_info")
    return ContractFile(
        path=path,
        digest=digest_of(source.encode()),
        fingerprint=file_fingerprint(bare),
        source=source,
        descriptor=bare.SerializeToString(deterministic=True),
    )


def contract_of(files: Iterable[ContractFile]) -> Contract:
    """The contract made of `files`. Raises `ActrConfigError` for paths that can't be published together."""
    ordered = tuple(sorted(files, key=lambda file: file.path))
    check_distinct(str(check_proto_path(file.path)) for file in ordered)
    names: dict[str, str] = {}
    for file in ordered:
        other = names.setdefault(file.name, file.path)
        if other != file.path:
            raise ActrConfigError(
                f"exports {other!r} and {file.path!r} are both named {file.name!r}, and a contract goes by the "
                "names of its files; rename one of them"
            )
    return Contract(service_fingerprint((file.path, file.fingerprint) for file in ordered), ordered)


def digest_of(content: bytes) -> str:
    return sha256(content).hexdigest()


def to_json(contract: Contract) -> str:
    """The text of `contract.json`; its first line says who wrote it."""
    body = msgspec.json.format(msgspec.json.encode(contract), indent=1).decode()
    return '{ "generated": "by actr gen; do not edit",' + body.removeprefix("{") + "\n"


def from_json(text: str | bytes, where: Path) -> Contract:
    """The contract that `text` holds. Raises `ActrConfigError` where it is damaged or was edited by hand."""
    try:
        contract = msgspec.json.decode(text, type=Contract)
        consistent = contract_of(contract.files) == contract and all(map(_is_consistent, contract.files))
    except (msgspec.DecodeError, DecodeError, ValueError) as error:
        raise ActrConfigError(f"{where} is not a contract ({error}); {RUN_GEN}") from error
    if contract.version != CONTRACT_VERSION:
        raise ActrConfigError(
            f"{where} has version {contract.version}, this actrzmq reads {CONTRACT_VERSION}; {RUN_GEN}"
        )
    if not consistent:
        raise ActrConfigError(f"{where} contradicts itself: it was edited or merged by hand; {RUN_GEN}")
    return contract


def _is_consistent(file: ContractFile) -> bool:
    return digest_of(file.source.encode()) == file.digest and file_fingerprint(file.parsed()) == file.fingerprint


def read_contract(path: Path) -> Contract:
    """The contract in the file `path`. Raises `ActrConfigError` where it is missing or damaged."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ActrConfigError(f"{path} can't be read ({error.strerror}); {RUN_GEN}") from error
    return from_json(text, path)


def check_fresh(contract: Contract | None, exports: Sequence[Path]) -> None:
    """Raise `ActrConfigError` unless `contract` was generated from the files `exports` as they are now."""
    if contract is None:
        if exports:
            raise ActrConfigError(f"the contract of {_names(exports)} was never generated; {RUN_GEN}")
        return
    known = {file.name: file for file in contract.files}
    for export in exports:
        file = known.pop(export.name, None)
        if file is None:
            raise ActrConfigError(f"{export} is exported but not in the generated contract; {RUN_GEN}")
        try:
            content = export.read_bytes()
        except OSError as error:
            raise ActrConfigError(f"{export} is exported but can't be read ({error.strerror})") from error
        if digest_of(content) != file.digest:
            raise ActrConfigError(f"{export} has changed since its code was generated; {RUN_GEN}")
    if known:
        raise ActrConfigError(
            f"{', '.join(sorted(known))} in the generated contract, but no longer exported; {RUN_GEN}"
        )


def _names(paths: Sequence[Path]) -> str:
    return ", ".join(str(path) for path in paths)
