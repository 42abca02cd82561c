"""What services have published, without a broker: contracts from texts, and a catalogue of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec.structs import replace

from actrzmq.contracts.bundle import Contract, Published, contract_file, contract_of
from actrzmq.errors import ActrNotFound, ActrTransportError
from actrzmq.identity import ActrType
from actrzmq.install.questions import Answer, Question, ask
from actrzmq.install.verify import compile_texts
from actrzmq.manifest.model import Manifest
from tests.codegen.protos import STREAM_SERVER

NOW = "2026-01-26T07:42:02.150546+00:00"
LATER = "2026-01-27T07:42:02.150546+00:00"

ECHO = ActrType("acme", "StreamEchoServer")
ALIAS = "stream-register-server-python"
GOLDEN = "service_semantic:8cd6382d374752af9f3ad1488cb4d465dd0fc1a8e22b69eee6e5a75d793d0708"

NEWER = STREAM_SERVER.replace("int32 message_count = 2;", "int32 message_count = 3;")
"""A contract that breaks the one of stream-echo."""


def contract(**texts: str) -> Contract:
    """The contract of the files `<name>.proto`; `__` in a name stands for a slash."""
    sources = {f"{name.replace('__', '/')}.proto": text for name, text in texts.items()}
    meant = compile_texts(sources)
    return contract_of(contract_file(path, text, meant[path]) for path, text in sources.items())


def published(contract: Contract, name: str = ALIAS, actor_type: ActrType = ECHO, **facts: object) -> Published:
    version = Published(
        name=name,
        actor_type=actor_type,
        realm=0,
        fingerprint=contract.fingerprint,
        description="",
        tags=(),
        published_at="",
        live=1,
        contract=contract,
    )
    return replace(version, **facts)


def stream_echo(text: str = STREAM_SERVER) -> Published:
    return published(contract(stream_server=text))


class Versions:
    """A catalogue of published versions, the newest last."""

    def __init__(self, *versions: Published) -> None:
        self.versions = list(versions)
        self.asked: list[str] = []

    async def describe(
        self, actor_type: ActrType | None = None, name: str = "", fingerprint: str = "", with_files: bool = True
    ) -> Published:
        self.asked.append(fingerprint)
        for version in reversed(self.versions):
            if (
                actor_type in (None, version.actor_type)
                and name in ("", version.name)
                and fingerprint in ("", version.fingerprint)
            ):
                return version
        raise ActrNotFound("never heard of it")

    def ask(self, manifest: Manifest, questions: Sequence[Question]) -> Sequence[Answer]:
        """As commands ask a broker."""
        return run_to_end(ask(self, questions))


class NoBroker:
    """What commands ask where there is no broker."""

    def ask(self, manifest: Manifest, questions: Sequence[Question]) -> Sequence[Answer]:
        raise ActrTransportError("no broker")


class LyingVersions(Versions):
    """A broker that answers everything with the one thing it has."""

    async def describe(
        self, actor_type: ActrType | None = None, name: str = "", fingerprint: str = "", with_files: bool = True
    ) -> Published:
        return self.versions[0]


def run_to_end(coroutine: object) -> tuple[Answer, ...]:
    """The result of a coroutine that waits for nothing."""
    try:
        coroutine.send(None)  # type: ignore[attr-defined]
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    raise AssertionError("it waits")


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Every file below `folder`, with its content and the time of its last change; and no folder is left out."""
    return {
        path.relative_to(folder).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns)
        if path.is_file()
        else (b"", 0)
        for path in sorted(folder.rglob("*"))
    }


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below `folder`, with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
