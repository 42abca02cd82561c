"""The comments of a published contract. Its descriptors have none, so its sources are compiled once more."""

from __future__ import annotations

from pathlib import Path

from actrzmq.codegen.protoc import compile_protos
from actrzmq.codegen.sources import Source
from actrzmq.contracts.bundle import Contract
from actrzmq.contracts.fingerprint import file_fingerprint
from actrzmq.contracts.outline import Outline, outline
from actrzmq.errors import ActrConfigError


def outlines_of(contract: Contract) -> tuple[Outline, ...]:
    """The outlines of the contract's files, with the comments of their sources.

    What counts is the descriptor. A source that does not compile, or means something else, is not believed: its file
    comes without comments.
    """
    sources = {file.path: Source(file.path, file.path, Path(file.path), file.source) for file in contract.files}
    try:
        compiled = compile_protos(sources)
    except ActrConfigError:
        compiled = {}
    outlines = []
    for file in contract.files:
        commented = compiled.get(file.path)
        is_same = commented is not None and file_fingerprint(commented) == file.fingerprint
        outlines.append(outline(commented if commented is not None and is_same else file.parsed()))
    return tuple(outlines)
