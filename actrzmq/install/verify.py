"""Whether what a broker sent is what was asked for, and harmless: a broker may lie, and its file names are data."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path, PurePosixPath

from google.protobuf.descriptor_pb2 import FileDescriptorProto

from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import MAX_BYTES, MAX_FILE_BYTES, Source
from actrzmq.contracts.bundle import Contract, Published, check_contract
from actrzmq.contracts.fingerprint import file_fingerprint
from actrzmq.contracts.paths import check_distinct, check_proto_path
from actrzmq.errors import ActrConfigError
from actrzmq.manifest.lock import is_safe_path
from actrzmq.manifest.model import Dependency
from actrzmq.manifest.values import is_service_name
from actrzmq.wire.messages import MAX_TAGS, MAX_TEXT

Descriptors = dict[str, FileDescriptorProto]


def verify(published: Published, dependency: Dependency, fingerprint: str = "") -> None:
    """Raise `ActrConfigError` unless `published` answers for `dependency` (with `fingerprint`, if one was asked for).

    Everything is computed anew from the texts: what they mean, and so what the fingerprints have to be.
    """
    try:
        _check_facts(published, dependency, fingerprint)
        _check_contract(published, dependency.alias)
    except (ActrConfigError, UnicodeEncodeError) as error:
        raise ActrConfigError(
            f"{dependency.alias}: what the broker sent is refused, and nothing was written: {error}"
        ) from error


def _check_facts(published: Published, dependency: Dependency, fingerprint: str) -> None:
    for what, found, expected in (
        ("the actor type", published.actor_type, dependency.actor_type),
        ("the name", published.name, dependency.name),
        ("the fingerprint", published.fingerprint, fingerprint or None),
        ("the realm", published.realm, dependency.realm),
    ):
        if expected is not None and found != expected:
            raise ActrConfigError(f"{what} is {found}, where {expected} was asked for")
    texts = (published.description, published.published_at, *published.tags)
    if len(published.tags) > MAX_TAGS or any(len(text) > MAX_TEXT for text in texts):
        raise ActrConfigError(f"its description or tags are larger than {MAX_TEXT} characters or {MAX_TAGS} tags")
    for text in texts:
        text.encode()  # no lone surrogates
    if not is_service_name(published.name):
        raise ActrConfigError(f"{published.name[:80]!r} can't be the name of a service")
    if published.published_at and not _is_time(published.published_at):
        raise ActrConfigError(f"{published.published_at[:80]!r} is no time")


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def _check_contract(published: Published, alias: str) -> None:
    contract = published.contract
    if contract is None:
        raise ActrConfigError("it has no files")
    check_paths(tuple(file.path for file in contract.files), alias)
    _check_sizes(contract)
    check_contract(contract)
    if contract.fingerprint != published.fingerprint:
        raise ActrConfigError("its files have another fingerprint")
    meant = compile_texts({file.path: file.source for file in contract.files})
    for file in contract.files:
        # Calls go by the descriptor, and code is generated from the text: they have to agree.
        if file_fingerprint(meant[file.path]) != file.fingerprint:
            raise ActrConfigError(f"{file.path}: the text means something else than the fingerprint says")


def check_paths(paths: tuple[str, ...], alias: str) -> None:
    """Raise `ActrConfigError` unless all of `paths` can be files below the folder `alias`, beside one another."""
    for path in paths:
        check_proto_path(path)
        if not is_safe_path(f"{alias}/{path}", alias):
            raise ActrConfigError(f"{path!r} can't be a file below protos/remote/{alias}")
    check_distinct(paths)
    taken = {path.lower() for path in paths}
    for path in paths:
        for folder in PurePosixPath(path.lower()).parents:
            if str(folder) in taken:
                raise ActrConfigError(f"{path!r} lies in a folder that is a file as well")


def _check_sizes(contract: Contract) -> None:
    sizes = [len(file.source.encode()) for file in contract.files]
    if max(sizes, default=0) > MAX_FILE_BYTES or sum(sizes) > MAX_BYTES:
        raise ActrConfigError(f"it is larger than {MAX_FILE_BYTES} bytes in one file or {MAX_BYTES} in all")


def compile_texts(texts: Mapping[str, str]) -> Descriptors:
    """What the files `texts`, given by path, mean. Raises `ActrConfigError` with file and line where they don't."""
    sources = {path: Source(path, path, Path(path), text) for path, text in texts.items()}
    descriptors = compile_protos(sources)
    return {path: descriptors[path] for path in texts}
