"""What a published contract changes, measured against the one that was locked."""

from __future__ import annotations

from collections.abc import Iterator

from actrzmq.contracts.bundle import Contract
from actrzmq.contracts.compatibility import Finding, Level, compare
from actrzmq.install.cached import Cached
from actrzmq.manifest.model import LockedDependency


def breaks(old: LockedDependency, cached: Cached, new: Contract) -> tuple[Finding, ...] | None:
    """What `new` breaks of `old` on the wire; None if that can't be told.

    The lock has fingerprints only, so the files that were locked have to be in place.
    """
    if not cached.is_intact(old) or cached.descriptors is None:
        return None
    descriptors = [file for _, file in sorted(cached.descriptors.items())]
    return compare(descriptors, [file.parsed() for file in new.files], Level.WIRE)


def changed_files(old: LockedDependency, new: Contract) -> Iterator[str]:
    """What is no longer as it was, in words, as far as fingerprints tell."""
    fresh = {file.path: file.fingerprint for file in new.files}
    for file in old.files:
        path = file.path.partition("/")[2]
        if path not in fresh:
            yield f"{path} is no longer there"
        elif fresh[path] != file.fingerprint:
            yield f"{path} means something else"
