"""A contract: the exported .proto files of a service, as text and as descriptors, with their fingerprints."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256
from pathlib import Path, PurePosixPath

import msgspec
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from msgspec import Struct

from actrzmq.contracts.complete import check_complete
from actrzmq.contracts.fingerprint import (
    FileFingerprint,
    ServiceFingerprint,
    file_fingerprint,
    service_fingerprint,
)
from actrzmq.contracts.paths import check_distinct, check_proto_path
from actrzmq.contracts.wellknown import COMES_WITH_PROTOC
from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType

CONTRACT_FILE = "contract.json"
CONTRACT_VERSION = 1
RUN_GEN = "run `actr gen`"
MAX_FILES = 500
MAX_BYTES = 16 * 1024 * 1024
"""A packed contract has so many files and bytes at most; the broker's own limit for a message is lower by default."""
MAX_DESCRIPTOR_BYTES = 1024 * 1024
"""The descriptors of a contract, together. Once parsed, they take many times that."""

_packing = msgspec.msgpack.Encoder()


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


class Published(Struct, frozen=True):
    """A contract as the broker keeps it for one service: a name, of an actor type, in a realm."""

    name: str
    actor_type: ActrType
    realm: int
    fingerprint: str
    description: str
    tags: tuple[str, ...]
    published_at: str
    """When it was first published here: ISO 8601, UTC."""
    live: int
    """Instances that publish it now."""
    contract: Contract | None
    """None where only the facts were asked for."""


_unpacking = msgspec.msgpack.Decoder(Contract)


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


def pack(contract: Contract) -> bytes:
    """`contract` as it travels. Raises `ActrConfigError` if it is too large for that."""
    body = _packing.encode(contract)
    _check_sizes(contract, body)
    return body


def unpack(body: bytes) -> Contract:
    """The contract in `body`, which came over the network: nothing in it is taken on trust.

    Raises `ActrConfigError` for anything that `pack` would not have made of a contract by `actr gen`: paths that lead
    elsewhere or collide, digests and fingerprints that are not those of the content, descriptors that don't load,
    imports that are missing or go in circles, too many files or bytes. That the text of a file says the same as its
    descriptor can't be told without a compiler: who compiles the text compares what comes out.
    """
    try:
        if len(body) > MAX_BYTES:
            raise ActrConfigError(f"{len(body)} bytes, at most {MAX_BYTES}")
        contract = _unpacking.decode(body)
        if contract.version != CONTRACT_VERSION:
            raise ActrConfigError(f"version {contract.version}, this actrzmq reads {CONTRACT_VERSION}")
        _check_sizes(contract, body)
        check_contract(contract)
    except ActrConfigError as error:
        raise ActrConfigError(f"not a contract: {error.message}") from None
    except (msgspec.DecodeError, ValueError) as error:
        raise ActrConfigError(f"not a contract: {str(error)!r:.300}") from None
    return contract


def check_contract(contract: Contract) -> None:
    """Raise `ActrConfigError` unless `contract` is what its files make it, and they are all that it needs."""
    paths = [file.path for file in contract.files]
    if not paths or len(set(paths)) < len(paths):
        raise ActrConfigError("no files, or one of them twice")
    for path in paths:
        check_proto_path(path)
        if path.startswith(COMES_WITH_PROTOC):
            raise ActrConfigError(
                f"proto file {path!r}: that folder holds protobuf's own files, which nobody publishes"
            )
    try:
        # Loaded first: what a pool refuses could trip who takes its fingerprint.
        parsed = {file.path: file.parsed() for file in contract.files}
        check_complete(parsed, {file.path: file.source for file in contract.files})
        consistent = contract_of(contract.files) == contract and all(map(_is_consistent, contract.files))
    except (DecodeError, UnicodeError) as error:
        raise ActrConfigError(f"a descriptor that can't be read: {str(error)!r:.300}") from None
    if not consistent:
        raise ActrConfigError("digests, fingerprints and content contradict one another")


def _check_sizes(contract: Contract, body: bytes) -> None:
    descriptors = sum(len(file.descriptor) for file in contract.files)
    if len(contract.files) > MAX_FILES or len(body) > MAX_BYTES or descriptors > MAX_DESCRIPTOR_BYTES:
        raise ActrConfigError(
            f"a contract of {len(contract.files)} files, {len(body)} bytes, {descriptors} of them descriptors; at most "
            f"{MAX_FILES}, {MAX_BYTES}, {MAX_DESCRIPTOR_BYTES}; export less, or as several services"
        )


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
    try:
        return digest_of(file.source.encode()) == file.digest and file_fingerprint(file.parsed()) == file.fingerprint
    except TypeError:  # protobuf reads text that is not UTF-8 as bytes, which no fingerprint can be made of
        return False


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
