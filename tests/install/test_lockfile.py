"""What is written as a lock is read back as the same lock, and is always the same bytes."""

from __future__ import annotations

import string
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.install.lockfile import render
from actrzmq.manifest import Lock, LockedDependency, LockedFile, load_lock
from actrzmq.manifest.lock import is_safe_path
from actrzmq.manifest.values import is_alias, is_service_name
from tests.e2e.world import EXAMPLE

HEX = st.text("0123456789abcdef", min_size=64, max_size=64)
WORDS = st.text(string.ascii_letters + string.digits + "._-", min_size=1, max_size=12)
ALIASES = WORDS.filter(is_alias)
TYPES = st.builds(ActrType, st.sampled_from(["acme", "A-1"]), st.sampled_from(["Echo", "x.y_z"]))
TIMES = st.datetimes(timezones=st.just(UTC)).map(datetime.isoformat)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@st.composite
def dependencies(draw: st.DrawFn) -> LockedDependency:
    alias = draw(ALIASES)
    paths = draw(st.lists(WORDS.map(lambda word: f"{alias}/{word}.proto"), unique_by=str.lower, max_size=4))
    return LockedDependency(
        name=alias,
        package=draw(st.just(alias) | TEXTS.filter(is_service_name)),
        actor_type=draw(TYPES),
        fingerprint=f"service_semantic:{draw(HEX)}",
        files=tuple(
            LockedFile(path=path, fingerprint=f"semantic:{draw(HEX)}")
            for path in sorted(paths)
            if is_safe_path(path, alias)
        ),
        cached_at=draw(st.none() | TIMES),
        published_at=draw(st.none() | TIMES),
        description=draw(st.none() | TEXTS),
        tags=tuple(draw(st.lists(TEXTS, max_size=3))),
    )


@settings(max_examples=200, deadline=None)
@given(entries=st.lists(dependencies(), unique_by=lambda entry: entry.name, max_size=4), generated_at=st.none() | TIMES)
def test_a_lock_that_is_written_is_read_back_whole(
    tmp_path_factory: pytest.TempPathFactory, entries: list[LockedDependency], generated_at: str | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "Actr.lock.toml"
    lock = Lock(path=path, version=1, generated_at=generated_at, dependencies={entry.name: entry for entry in entries})
    text = render(lock)
    path.write_bytes(text.encode())
    found = load_lock(path)
    assert found == lock
    assert list(found.dependencies) == sorted(lock.dependencies)
    assert render(found) == text


@pytest.mark.parametrize("side", ["client", "server"])
def test_the_locks_of_the_example_are_as_they_would_be_written(side: str) -> None:
    path = EXAMPLE / side / "Actr.lock.toml"
    assert render(load_lock(path)) == path.read_text()


def test_a_lock_that_could_not_be_read_again_is_not_written() -> None:
    entry = LockedDependency(
        name="a",
        package="a",
        actor_type=ActrType("acme", "A"),
        fingerprint=f"service_semantic:{'0' * 64}",
        description="x" * 2**20,
    )
    with pytest.raises(ActrConfigError, match="more than 1048576 bytes"):
        render(Lock(path=Path("Actr.lock.toml"), version=1, generated_at=None, dependencies={"a": entry}))
