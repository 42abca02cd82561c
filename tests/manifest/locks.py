"""Lock files, as `actr install` writes them, for tests that need one."""

from __future__ import annotations

from collections.abc import Mapping

from actrzmq.contracts.fingerprint import file_fingerprint, service_fingerprint
from tests.codegen.protos import compiled

HEAD = """[metadata]
version = 1

[[dependency]]
name = "{alias}"
actr_type = "{actor_type}"
fingerprint = "{fingerprint}"
"""
FILE = """
[[dependency.files]]
path = "{alias}/{path}"
fingerprint = "{fingerprint}"
"""


def lock_text(alias: str, actor_type: str, files: Mapping[str, str]) -> str:
    """A lock file with one dependency, whose `files` are given as path=text."""
    found = compiled(**{path.removesuffix(".proto"): text for path, text in files.items()})
    prints = {path: file_fingerprint(found[path]) for path in files}
    service = service_fingerprint(prints.items())
    return HEAD.format(alias=alias, actor_type=actor_type, fingerprint=service) + "".join(
        FILE.format(alias=alias, path=path, fingerprint=fingerprint) for path, fingerprint in prints.items()
    )
