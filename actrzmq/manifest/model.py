"""What the files of a project say, once read: frozen, checked and with every default filled in."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

from msgspec import Struct, field

from actrzmq.identity import ActrType

DEFAULT_BROKER_URL = "tcp://127.0.0.1:5570"

MANIFEST_NAME = "Actr.toml"
LOCK_NAME = "Actr.lock.toml"


class StreamPath(StrEnum):
    """How the frames of a stream travel."""

    AUTO = "auto"
    DIRECT = "direct"
    RELAY = "relay"


class Permission(StrEnum):
    """What a rule says to the types that it names."""

    ALLOW = "allow"
    DENY = "deny"


class Dependency(Struct, frozen=True, kw_only=True):
    """One service that the project calls: `alias = { … }` below `[dependencies]`."""

    alias: str
    name: str | None
    """The published service name to look for; None where only `actr_type` is given."""
    actor_type: ActrType | None
    """None where the dependency is found by name alone."""
    realm: int
    """The realm to look in: the project's own, where the dependency names none."""
    fingerprint: str | None
    """The contract that the project insists on, `service_semantic:…`; None: the one in the lock file."""


class Rule(Struct, frozen=True):
    """One `[[acl.rules]]`: what actors of these types may do."""

    permission: Permission
    types: tuple[ActrType, ...]


class Dispatch(Struct, frozen=True, kw_only=True):
    """`[system.dispatch]`: how many handlers run at once, and how many calls may wait for one."""

    concurrency: int = 256
    queue: int = 10_000


class Streams(Struct, frozen=True, kw_only=True):
    """`[system.streams]`: the path that frames take, the credit of one stream, the memory of all."""

    path: StreamPath = StreamPath.AUTO
    window_frames: int = 4096
    window_bytes: int = 8 * 1024 * 1024
    memory: int = 64 * 1024 * 1024


class Runtime(Struct, frozen=True, kw_only=True):
    """`[system.runtime]`: how long a stop may take to finish open work, and the event loop to run on."""

    drain_ms: int = 10_000
    uvloop: bool = False


class Manifest(Struct, frozen=True, kw_only=True):
    """An `Actr.toml`. Paths are absolute."""

    path: Path
    name: str
    actor_type: ActrType
    edition: int = 1
    exports: tuple[Path, ...] = ()
    description: str = ""
    authors: tuple[str, ...] = ()
    license: str = ""
    tags: tuple[str, ...] = ()
    dependencies: dict[str, Dependency] = field(default_factory=dict)
    """By alias, in the order of the file."""
    broker_url: str = DEFAULT_BROKER_URL
    realm: int = 0
    visible: bool = True
    dispatch: Dispatch = Dispatch()
    streams: Streams = Streams()
    runtime: Runtime = Runtime()
    filter_level: str | None = None
    """A level name of `logging`, in lower case; None: the program's own settings hold."""
    acl: tuple[Rule, ...] | None = None
    """None: the file has no `[acl]`, all types of the realm are allowed. Else what no rule allows is denied."""
    scripts: dict[str, str] = field(default_factory=dict)

    @property
    def directory(self) -> Path:
        """The project's folder, which holds the manifest."""
        return self.path.parent

    @property
    def lock_path(self) -> Path:
        """Where the project's lock file is, if it has one."""
        return self.directory / LOCK_NAME


class BrokerLimits(Struct, frozen=True, kw_only=True):
    """`[limits]` of a broker: what it takes from nodes and keeps for them."""

    body_bytes: int = 4 * 1024 * 1024
    nodes: int = 10_000
    backlog_bytes: int = 16 * 1024 * 1024
    """What may wait in the broker for one node."""
    relayed_bytes: int = 256 * 1024 * 1024
    """Frames of relayed streams that may wait for one node beside that, however much it says that it can take."""
    contracts_bytes: int = 64 * 1024 * 1024
    """Published contracts that are kept; those of live nodes stay, of the rest those used last. 0: none."""


class BrokerSettings(Struct, frozen=True, kw_only=True):
    """A `broker.toml`, or the defaults of a broker that has none. Paths are absolute."""

    path: Path | None
    """The file; None where there is none."""
    listen: tuple[str, ...] = (DEFAULT_BROKER_URL,)
    relay: str = "tcp://127.0.0.1:*"
    """Where the broker takes the frames of relayed streams."""
    lease_ms: int = 10_000
    renew_ms: int = 1_000
    store: Path
    """The SQLite file of contracts and of nodes that a restart should expect back."""
    limits: BrokerLimits = BrokerLimits()
    log_level: str = "info"


class LockedFile(Struct, frozen=True, kw_only=True):
    """One cached `.proto` file: its path below `protos/remote/`, and what it means."""

    path: str
    fingerprint: str


class LockedDependency(Struct, frozen=True, kw_only=True):
    """One `[[dependency]]` of a lock file: the contract that a dependency had when it was installed."""

    name: str
    """The manifest's alias."""
    package: str
    """The published service name; the alias, where the file does not say otherwise."""
    actor_type: ActrType
    fingerprint: str
    files: tuple[LockedFile, ...] = ()
    cached_at: str | None = None
    published_at: str | None = None
    description: str | None = None
    tags: tuple[str, ...] = ()


class Lock(Struct, frozen=True, kw_only=True):
    """An `Actr.lock.toml`. Times are kept as the file has them, so that rewriting it changes nothing."""

    path: Path
    version: int
    generated_at: str | None
    dependencies: dict[str, LockedDependency] = field(default_factory=dict)
    """By alias, in the order of the file."""
