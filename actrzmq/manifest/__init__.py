"""The files of a project: `Actr.toml`, `Actr.lock.toml`, `broker.toml`; read strictly, explained in words."""

from actrzmq.manifest.broker import load_broker_settings
from actrzmq.manifest.load import BROKER_VARIABLE, load_manifest
from actrzmq.manifest.lock import load_lock
from actrzmq.manifest.model import (
    DEFAULT_BROKER_URL,
    LOCK_NAME,
    MANIFEST_NAME,
    BrokerLimits,
    BrokerSettings,
    Dependency,
    Dispatch,
    Lock,
    LockedDependency,
    LockedFile,
    Manifest,
    Permission,
    Rule,
    Runtime,
    StreamPath,
    Streams,
)

__all__ = [
    "BROKER_VARIABLE",
    "DEFAULT_BROKER_URL",
    "LOCK_NAME",
    "MANIFEST_NAME",
    "BrokerLimits",
    "BrokerSettings",
    "Dependency",
    "Dispatch",
    "Lock",
    "LockedDependency",
    "LockedFile",
    "Manifest",
    "Permission",
    "Rule",
    "Runtime",
    "StreamPath",
    "Streams",
    "load_broker_settings",
    "load_lock",
    "load_manifest",
]
