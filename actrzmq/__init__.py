"""actrzmq: typed actors in processes of their own, on ZeroMQ. These names are the public API; all else may move."""

from typing import TYPE_CHECKING, Any

from actrzmq._version import __version__

if TYPE_CHECKING:
    from actrzmq.core.discovery import Change
    from actrzmq.errors import (
        ActrConfigError,
        ActrContractMismatch,
        ActrDecodeError,
        ActrGateNotInitialized,
        ActrNotFound,
        ActrOverloaded,
        ActrPermissionDenied,
        ActrRuntimeError,
        ActrStreamError,
        ActrTimeoutError,
        ActrTransportError,
        ActrUnknownRoute,
        Status,
    )
    from actrzmq.identity import ActrId, ActrType
    from actrzmq.runtime.client import ServiceClient
    from actrzmq.runtime.context import Context
    from actrzmq.runtime.decorators import rpc, service
    from actrzmq.runtime.dest import Dest
    from actrzmq.runtime.node import ActrNode, ActrRef
    from actrzmq.runtime.payload import PayloadType
    from actrzmq.runtime.receiving import StreamHandle, StreamReader
    from actrzmq.runtime.running import run
    from actrzmq.runtime.sending import StreamWriter
    from actrzmq.runtime.system import ActrSystem
    from actrzmq.runtime.watching import Watch
    from actrzmq.runtime.workload import Dispatcher, Route, WorkloadBase
    from actrzmq.wire.messages import DataStream

__all__ = [
    # a node
    "run",
    "ActrSystem",
    "ActrNode",
    "ActrRef",
    "Context",
    # who and where
    "ActrId",
    "ActrType",
    "Dest",
    # streams
    "DataStream",
    "PayloadType",
    "StreamHandle",
    "StreamReader",
    "StreamWriter",
    # who comes and goes
    "Change",
    "Watch",
    # services
    "Dispatcher",
    "Route",
    "ServiceClient",
    "WorkloadBase",
    "rpc",
    "service",
    # errors
    "ActrConfigError",
    "ActrContractMismatch",
    "ActrDecodeError",
    "ActrGateNotInitialized",
    "ActrNotFound",
    "ActrOverloaded",
    "ActrPermissionDenied",
    "ActrRuntimeError",
    "ActrStreamError",
    "ActrTimeoutError",
    "ActrTransportError",
    "ActrUnknownRoute",
    "Status",
    "__version__",
]

# Names are imported when they are first used (PEP 562): the broker and the tools need few of them, and start faster.
_MODULES = {
    "run": "actrzmq.runtime.running",
    "ActrSystem": "actrzmq.runtime.system",
    "ActrNode": "actrzmq.runtime.node",
    "ActrRef": "actrzmq.runtime.node",
    "Context": "actrzmq.runtime.context",
    "ActrId": "actrzmq.identity",
    "ActrType": "actrzmq.identity",
    "Dest": "actrzmq.runtime.dest",
    "DataStream": "actrzmq.wire.messages",
    "PayloadType": "actrzmq.runtime.payload",
    "StreamHandle": "actrzmq.runtime.receiving",
    "StreamReader": "actrzmq.runtime.receiving",
    "StreamWriter": "actrzmq.runtime.sending",
    "Change": "actrzmq.core.discovery",
    "Watch": "actrzmq.runtime.watching",
    "Dispatcher": "actrzmq.runtime.workload",
    "Route": "actrzmq.runtime.workload",
    "ServiceClient": "actrzmq.runtime.client",
    "WorkloadBase": "actrzmq.runtime.workload",
    "rpc": "actrzmq.runtime.decorators",
    "service": "actrzmq.runtime.decorators",
    "ActrConfigError": "actrzmq.errors",
    "ActrContractMismatch": "actrzmq.errors",
    "ActrDecodeError": "actrzmq.errors",
    "ActrGateNotInitialized": "actrzmq.errors",
    "ActrNotFound": "actrzmq.errors",
    "ActrOverloaded": "actrzmq.errors",
    "ActrPermissionDenied": "actrzmq.errors",
    "ActrRuntimeError": "actrzmq.errors",
    "ActrStreamError": "actrzmq.errors",
    "ActrTimeoutError": "actrzmq.errors",
    "ActrTransportError": "actrzmq.errors",
    "ActrUnknownRoute": "actrzmq.errors",
    "Status": "actrzmq.errors",
}


def __getattr__(name: str) -> Any:
    module = _MODULES.get(name)
    if module is None:
        raise AttributeError(f"module 'actrzmq' has no attribute {name!r}")
    from importlib import import_module

    value = globals()[name] = getattr(import_module(module), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
