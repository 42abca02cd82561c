"""The contracts that a broker keeps: their facts, in memory; their contents, on the shelf of the store.

A *version* is what one service has published: (realm, type, name, fingerprint). Its contents go by the fingerprint
alone, so ten services with one contract share them. When there is too much, the versions used longest ago go, and
contents with their last version; but never those of a live node.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct

from actrzmq.identity import ActrType
from actrzmq.wire.messages import Facts

VERSION_BYTES = 4096
"""What a version counts for beside its description and tags. Together with the contents, that is limited: a flood of
names ends there, too."""


class Key(NamedTuple):
    """What one service has published."""

    realm: int
    type: ActrType
    name: str
    fingerprint: str


class Version(Struct, frozen=True):
    """The facts of one published version. `number` and `used` count up: the order of publishing, and of last use."""

    key: Key
    description: str
    tags: tuple[str, ...]
    published_at: str
    number: int
    used: int

    @property
    def size(self) -> int:
        """What it takes, in bytes."""
        return VERSION_BYTES + 4 * (len(self.description) + sum(map(len, self.tags)))

    def facts(self, live: int) -> Facts:
        """As it is told to those who ask."""
        realm, type, name, fingerprint = self.key
        return Facts(name, type, realm, fingerprint, self.description, self.tags, self.published_at, live)


class Question(NamedTuple):
    """What somebody wants to know: of this realm, this type, name and fingerprint, as far as they are given."""

    realm: int
    type: ActrType | None
    name: str
    fingerprint: str

    def fits(self, key: Key) -> bool:
        """Is `key` an answer?"""
        return (
            key.realm == self.realm
            and self.type in {None, key.type}
            and self.name in {"", key.name}
            and self.fingerprint in {"", key.fingerprint}
        )


class Catalogue:
    """Which versions there are, which contents, and who is live. `limit` is in bytes."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        """All that is kept, in bytes."""
        self.live: Counter[Key] = Counter()
        """How many live nodes publish each version, kept or not."""
        self._contents: dict[str, int] = {}
        self._versions: dict[Key, Version] = {}
        """In order of their last use."""
        self._shared: Counter[str] = Counter()
        """How many versions have the same contents."""
        self._turn = 0

    def recall(self, contents: Iterable[tuple[str, int]], versions: Iterable[Version]) -> None:
        """What the store has kept over a restart: contents with their size, and versions of them."""
        for fingerprint, size in contents:
            self.keep(fingerprint, size)
        for version in sorted(versions, key=lambda version: version.used):
            if version.key.fingerprint in self._contents:
                self._put(version)
                self._turn = max(self._turn, version.used, version.number)

    def keep(self, fingerprint: str, size: int) -> None:
        """The shelf has these contents now."""
        self.size += size - self._contents.get(fingerprint, 0)
        self._contents[fingerprint] = size

    def has(self, fingerprint: str) -> bool:
        """Are these contents kept?"""
        return fingerprint in self._contents

    def publish(self, key: Key, description: str, tags: tuple[str, ...], published_at: str) -> Version:
        """A live node publishes `key`, whose contents are kept; returns what is to be stored of it."""
        known = self._versions.get(key)
        self._turn += 1
        number, since = (known.number, known.published_at) if known is not None else (self._turn, published_at)
        version = Version(key, description, tags, since, number, self._turn)
        self._put(version)
        return version

    def use(self, version: Version) -> Version:
        """Somebody wants the contents of `version`; returns what is to be stored of it."""
        return self.publish(version.key, version.description, version.tags, version.published_at)

    def find(self, question: Question) -> Version | None:
        """The newest version that fits and is live, else the newest one."""
        fitting = [version for version in self._versions.values() if question.fits(version.key)]
        return max(fitting, key=lambda version: (version.key in self.live, version.number), default=None)

    def lose(self, fingerprint: str) -> None:
        """Its contents are gone from the shelf, and its versions with them."""
        self.size -= self._contents.pop(fingerprint, 0)
        for key in [key for key in self._versions if key.fingerprint == fingerprint]:
            self._drop(key)

    def prune(self) -> Iterator[Key]:
        """Drop what was used longest ago, until the rest is within the limit; yields the versions that go."""
        if self.size <= self.limit:
            return
        for key in [key for key in self._versions if key not in self.live]:
            self._drop(key)
            yield key
            if self.size <= self.limit:
                return

    def live_size(self) -> int:
        """What can't be dropped, in bytes."""
        fingerprints = {key.fingerprint for key in self.live}
        versions = [self._versions[key].size for key in self.live if key in self._versions]
        return sum(versions) + sum(size for name, size in self._contents.items() if name in fingerprints)

    def __len__(self) -> int:
        return len(self._versions)

    def _put(self, version: Version) -> None:
        known = self._versions.pop(version.key, None)  # what was used last comes last
        if known is None:
            self._shared[version.key.fingerprint] += 1
        self.size += version.size - (known.size if known is not None else 0)
        self._versions[version.key] = version

    def _drop(self, key: Key) -> None:
        self.size -= self._versions.pop(key).size
        self._shared[key.fingerprint] -= 1
        if not self._shared[key.fingerprint]:
            del self._shared[key.fingerprint]
            self.size -= self._contents.pop(key.fingerprint, 0)
