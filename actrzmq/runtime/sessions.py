"""The session of a node, as its manifest wants it."""

from __future__ import annotations

import os
import platform

from actrzmq._version import __version__
from actrzmq.contracts.bundle import Contract, pack
from actrzmq.core.serving import ServingLimits
from actrzmq.core.session import Session, SessionLimits
from actrzmq.core.streams import StreamLimits
from actrzmq.manifest.model import Manifest, Permission
from actrzmq.net.clock import boottime_ms
from actrzmq.net.plane import Plane
from actrzmq.runtime.routes import Routes
from actrzmq.wire.messages import PROTOCOL, Register, Rule


def new_session(manifest: Manifest, contract: Contract | None, routes: Routes, plane: Plane, visiting: bool) -> Session:
    """A session that has not begun: it serves `routes`, and sends and receives streams over `plane`."""
    return Session(
        _register(manifest, plane.data_endpoint, contract, visiting),
        routes.is_exported,
        os.urandom,
        boottime_ms(),
        _limits(manifest),
        plane.grants_endpoint,
        b"" if contract is None else pack(contract),
    )


def _register(manifest: Manifest, data_endpoint: str, contract: Contract | None, visiting: bool) -> Register:
    rules = None
    if manifest.acl is not None:
        rules = tuple(Rule(rule.permission is Permission.ALLOW, rule.types) for rule in manifest.acl)
    return Register(
        attempt=0,
        protocol=PROTOCOL,
        key=b"",
        realm=manifest.realm,
        type=manifest.actor_type,
        name=manifest.name,
        visible=manifest.visible,
        rules=rules,
        data=data_endpoint,
        stream_memory=manifest.streams.memory,
        fingerprint="" if contract is None else contract.fingerprint,
        host=platform.node(),
        pid=os.getpid(),
        version=__version__,
        description=manifest.description,
        tags=manifest.tags,
        visiting=visiting,
    )


def _limits(manifest: Manifest) -> SessionLimits:
    streams, dispatch = manifest.streams, manifest.dispatch
    return SessionLimits(
        serving=ServingLimits(concurrency=dispatch.concurrency, queue=dispatch.queue),
        streams=StreamLimits(
            window_frames=streams.window_frames, window_bytes=streams.window_bytes, memory=streams.memory
        ),
    )
