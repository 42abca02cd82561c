"""The catalogue's sums and order, whatever happens to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from actrzmq.core.catalogue import Catalogue, Key, Question
from actrzmq.identity import ActrType

ECHO = ActrType("acme", "Echo")
NAMES = ("one", "two", "three")
FINGERPRINTS = ("a", "b", "c")

Deed = Callable[[Catalogue], Any]


def key(name: str, fingerprint: str) -> Key:
    return Key(0, ECHO, name, fingerprint)


def publish(name: str, fingerprint: str, size: int, description: str) -> Deed:
    """A live node publishes, and the contents come if they have to."""

    def deed(catalogue: Catalogue) -> None:
        catalogue.keep(fingerprint, size)
        catalogue.live[key(name, fingerprint)] += 1
        catalogue.publish(key(name, fingerprint), description, (), "today")

    return deed


def leave(name: str, fingerprint: str) -> Deed:
    """All nodes of that version go."""
    return lambda catalogue: catalogue.live.pop(key(name, fingerprint), None)


names, fingerprints = st.sampled_from(NAMES), st.sampled_from(FINGERPRINTS)
deeds = st.one_of(
    st.builds(publish, names, fingerprints, st.integers(1, 10_000), st.text(max_size=20)),
    st.builds(leave, names, fingerprints),
    st.builds(lambda fingerprint: lambda catalogue: catalogue.lose(fingerprint), fingerprints),
    st.just(lambda catalogue: list(catalogue.prune())),
)


@given(st.lists(deeds, max_size=30))
def test_its_size_is_that_of_what_it_has_and_within_the_limit_but_for_what_is_live(history: list[Deed]) -> None:
    catalogue = Catalogue(20_000)
    for deed in history:
        deed(catalogue)
        assert catalogue.size == sum(catalogue._contents.values()) + sum(
            version.size for version in catalogue._versions.values()
        )
        used = {version.fingerprint for version in catalogue._versions}
        assert used == catalogue._contents.keys() == catalogue._shared.keys()
    list(catalogue.prune())
    assert catalogue.size <= max(catalogue.limit, catalogue.live_size())


@given(st.lists(deeds, max_size=30))
def test_what_is_recalled_is_what_was_stored(history: list[Deed]) -> None:
    before, after = Catalogue(1 << 30), Catalogue(1 << 30)
    for deed in history:
        deed(before)
    after.recall(before._contents.items(), before._versions.values())
    assert (after.size, list(after._versions)) == (before.size, list(before._versions))
    assert after.publish(key("new", "a"), "", (), "").number > max(
        (version.number for version in before._versions.values()), default=0
    )


def test_a_version_keeps_its_first_date_and_takes_the_latest_facts() -> None:
    catalogue = Catalogue(1 << 20)
    catalogue.keep("a", 10)
    catalogue.publish(key("one", "a"), "old", (), "monday")
    version = catalogue.publish(key("one", "a"), "new", ("tag",), "tuesday")
    assert (version.description, version.tags, version.published_at) == ("new", ("tag",), "monday")
    assert catalogue.find(Question(0, None, "one", "")) == version
