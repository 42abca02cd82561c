"""Writes `Actr.lock.toml`: the same lock is always the same bytes, and `load_lock` reads them back."""

from __future__ import annotations

import json
from collections.abc import Iterator

from actrzmq.errors import ActrConfigError
from actrzmq.manifest.lock import VERSION
from actrzmq.manifest.model import Lock, LockedDependency
from actrzmq.manifest.toml import MAX_BYTES


def render(lock: Lock) -> str:
    """The text of `lock`. Raises `ActrConfigError` if it is too large to be read again."""
    text = "\n".join(_lines(lock))
    if len(text.encode()) > MAX_BYTES:
        raise ActrConfigError(
            f"{lock.path}: all dependencies together need more than {MAX_BYTES} bytes; depend on fewer"
        )
    return text


def _lines(lock: Lock) -> Iterator[str]:
    yield "[metadata]"
    yield f"version = {VERSION}"
    if lock.generated_at is not None:
        yield f"generated_at = {_text(lock.generated_at)}"
    for name in sorted(lock.dependencies):
        yield from _dependency(lock.dependencies[name])
    yield ""


def _dependency(dependency: LockedDependency) -> Iterator[str]:
    yield ""
    yield "[[dependency]]"
    yield f"name = {_text(dependency.name)}"
    if dependency.package != dependency.name:
        yield f"package = {_text(dependency.package)}"
    yield f"actr_type = {_text(str(dependency.actor_type))}"
    yield f"fingerprint = {_text(dependency.fingerprint)}"
    for key in ("cached_at", "description", "published_at"):
        value = getattr(dependency, key)
        if value is not None:
            yield f"{key} = {_text(value)}"
    if dependency.tags:
        yield f"tags = [{', '.join(map(_text, dependency.tags))}]"
    for file in sorted(dependency.files, key=lambda file: file.path):
        yield ""
        yield "[[dependency.files]]"
        yield f"path = {_text(file.path)}"
        yield f"fingerprint = {_text(file.fingerprint)}"


def _text(value: str) -> str:
    """`value` as a basic string of TOML: like one of JSON, which lets DEL through as it is."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
