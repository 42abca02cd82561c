"""Reads `Actr.toml` into a `Manifest`: strictly, and with words for whoever has to mend it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from actrzmq.errors import ActrConfigError
from actrzmq.identity import ActrType
from actrzmq.manifest import values
from actrzmq.manifest.model import (
    DEFAULT_BROKER_URL,
    Dependency,
    Dispatch,
    Manifest,
    Permission,
    Rule,
    Runtime,
    StreamPath,
    Streams,
)
from actrzmq.manifest.toml import Key, Table, read_toml
from actrzmq.wire.messages import MAX_RULE_TYPES

BROKER_VARIABLE = "ACTRZMQ_BROKER"

_ROOT = ("edition", "exports", "package", "actr_type", "dependencies", "system", "acl", "scripts")
_PACKAGE = ("name", "description", "authors", "license", "tags", "actr_type")
_SYSTEM = ("broker", "signaling", "deployment", "discovery", "dispatch", "streams", "runtime", "observability")
_DEPENDENCY = ("name", "actr_type", "realm", "fingerprint")

_NO_WEBRTC = "this runtime connects processes over ZeroMQ and has no use for settings of WebRTC; remove it"
_OF_WEBRTC = ("webrtc", "ais_endpoint", "ice", "ice_servers", "stun", "turn", "stun_urls", "turn_urls", "force_relay")

GIB = 1024**3


def load_manifest(path: Path | str, environ: Mapping[str, str] | None = None) -> Manifest:
    """The manifest in the file `path`; `ACTRZMQ_BROKER` in `environ` (the process's own) overrides the broker.

    Raises `ActrConfigError`, which names the file, the key and what was expected, for whatever does not hold
    of the file, and for exports that don't exist or lie outside the project.
    """
    file = Path(os.path.abspath(path))
    root = read_toml(file, "give the path of a project's Actr.toml (docs/configuration.md says what is in one)")
    _refuse_webrtc(root)
    root.only(*_ROOT)
    package = root.table("package")
    package.only(*_PACKAGE)
    system = root.table("system")
    _refuse_webrtc(system)
    system.only(*_SYSTEM)
    realm = _realm(system)
    return Manifest(
        path=file,
        edition=root.number("edition", 1, 1, 1),
        name=values.service_name(package, "name"),
        actor_type=_actor_type(root, package),
        exports=_exports(root, file.parent),
        description=values.description(package, "description"),
        authors=package.texts("authors"),
        license=package.text("license", ""),
        tags=values.tags(package, "tags"),
        dependencies=_dependencies(root.table("dependencies"), realm),
        broker_url=_broker_url(system, os.environ if environ is None else environ),
        realm=realm,
        visible=_visible(system),
        dispatch=_dispatch(system.table("dispatch")),
        streams=_streams(system.table("streams")),
        runtime=_runtime(system.table("runtime")),
        filter_level=_filter_level(system.table("observability")),
        acl=_acl(root.table("acl")) if "acl" in root else None,
        scripts=_scripts(root.table("scripts")),
    )


def _refuse_webrtc(table: Table) -> None:
    for key in table:
        if key in _OF_WEBRTC:
            raise table.refuse(key, _NO_WEBRTC)


def _actor_type(root: Table, package: Table) -> ActrType:
    places = [table.table("actr_type") for table in (package, root) if "actr_type" in table]
    if not places:
        raise package.wrong("actr_type", "a table with manufacturer and name, as in [package.actr_type]")
    found = [_actor_type_table(place) for place in places]
    if found[0] != found[-1]:
        raise root.wrong("actr_type", f"the same as in package.actr_type, {found[0]}", str(found[-1]))
    return found[0]


def _actor_type_table(table: Table) -> ActrType:
    table.only("manufacturer", "name")
    manufacturer, name = table.text("manufacturer"), table.text("name")
    try:
        return ActrType(manufacturer, name)
    except ActrConfigError as error:
        raise table.at(table.where, "manufacturer and name of an actor type", str(error)) from None


def _exports(root: Table, directory: Path) -> tuple[Path, ...]:
    exports: list[Path] = []
    for at, name in enumerate(root.texts("exports")):
        where = Key(f"exports[{at}]")
        export = _export(root, where, directory, name)
        if export in exports:
            raise root.at(where, "each file once", f"{name!r} again")
        exports.append(export)
    return tuple(exports)


def _export(root: Table, where: Key, directory: Path, name: str) -> Path:
    expected = "a .proto file in the project, relative to the manifest"
    if PurePosixPath(name).is_absolute() or not name.endswith(".proto") or not name.isprintable():
        raise root.at(where, expected, repr(name))
    path = Path(os.path.abspath(directory / name))
    try:
        # A symbolic link may lead outside as well as `..` does.
        inside = path.is_relative_to(directory) and path.resolve().is_relative_to(directory.resolve())
        is_file = path.is_file()
    except OSError as error:  # ELOOP, ENAMETOOLONG
        raise root.at(where, expected, f"{name[:60]!r}: {error.strerror}") from None
    if not inside:
        raise root.at(where, expected, f"{name!r}, which is outside")
    if not is_file:
        raise root.at(where, expected, f"{name!r}, which is no file")
    return path


def read_dependency(file: Path, alias: str, declared: Mapping[str, object], realm: int) -> Dependency:
    """The dependency `alias` as the manifest `file` would declare it; `realm` is the project's own.

    Raises `ActrConfigError` as `load_manifest` does.
    """
    return _dependencies(Table(file, Key("dependencies"), {alias: declared}), realm)[alias]


def _dependencies(table: Table, realm: int) -> dict[str, Dependency]:
    return {alias: _dependency(table, values.check_alias(table, alias), realm) for alias in table}


def _dependency(dependencies: Table, alias: str, realm: int) -> Dependency:
    try:
        table = dependencies.table(alias)
    except ActrConfigError:
        raise dependencies.wrong(alias, 'a table: {} or { actr_type = "manufacturer+Name" }') from None
    table.only(*_DEPENDENCY)
    by_type = "actr_type" in table
    return Dependency(
        alias=alias,
        name=values.service_name(table, "name") if "name" in table else None if by_type else alias,
        actor_type=values.actor_type_text(table, "actr_type") if by_type else None,
        realm=values.realm(table, "realm", realm),
        fingerprint=values.service_fingerprint(table, "fingerprint") if "fingerprint" in table else None,
    )


def _broker_url(system: Table, environ: Mapping[str, str]) -> str:
    urls = [_url(system.table(name)) for name in ("broker", "signaling") if name in system]
    given = [url for url in urls if url is not None]
    if given and given[0] != given[-1]:
        expected = f"the same as system.broker.url, {given[0]}"
        raise system.table("signaling").wrong("url", expected)
    override = environ.get(BROKER_VARIABLE)
    if override:
        wrong = values.broker_address(override)
        if wrong:
            raise ActrConfigError(f"environment: {BROKER_VARIABLE}={override!r} {wrong}")
        return override
    return given[0] if given else DEFAULT_BROKER_URL


def _url(table: Table) -> str | None:
    _refuse_webrtc(table)
    table.only("url")
    if "url" not in table:
        return None
    url = table.text("url")
    wrong = values.broker_address(url)
    if wrong:
        raise table.refuse("url", f"{url!r} {wrong}")
    return url


def _realm(system: Table) -> int:
    deployment = system.table("deployment")
    deployment.only("realm_id")
    return values.realm(deployment, "realm_id", 0)


def _visible(system: Table) -> bool:
    discovery = system.table("discovery")
    discovery.only("visible")
    return discovery.flag("visible", True)


def _dispatch(table: Table) -> Dispatch:
    table.only("concurrency", "queue")
    default = Dispatch()
    return Dispatch(
        concurrency=table.number("concurrency", default.concurrency, 1, 100_000),
        queue=table.number("queue", default.queue, 1, 10_000_000),
    )


def _streams(table: Table) -> Streams:
    table.only("path", "window_frames", "window_bytes", "memory")
    default = Streams()
    return Streams(
        path=table.choice("path", default.path, {path.value: path for path in StreamPath}),
        window_frames=table.number("window_frames", default.window_frames, 1, 1_000_000),
        window_bytes=table.number("window_bytes", default.window_bytes, 1, GIB),
        memory=table.number("memory", default.memory, 1, 1024 * GIB),
    )


def _runtime(table: Table) -> Runtime:
    default = Runtime()
    table.only("drain_ms", "uvloop")
    return Runtime(
        drain_ms=table.number("drain_ms", default.drain_ms, 0, 3_600_000),
        uvloop=table.flag("uvloop", default.uvloop),
    )


def _filter_level(table: Table) -> str | None:
    table.only("filter_level")
    return table.choice("filter_level", "", values.LEVELS) if "filter_level" in table else None


def _acl(table: Table) -> tuple[Rule, ...]:
    table.only("rules")
    rules = tuple(_rule(rule) for rule in table.tables("rules"))
    types = sum(len(rule.types) for rule in rules)
    if types > MAX_RULE_TYPES:
        raise table.wrong("rules", f"at most {MAX_RULE_TYPES} types in all", str(types))
    return rules


def _rule(table: Table) -> Rule:
    table.only("permission", "types")
    permission = table.choice("permission", "", {choice.value: choice for choice in Permission})
    types = table.texts("types")
    if not types:
        raise table.wrong("types", 'at least one actor type, as in ["acme+Echo"]')
    return Rule(
        permission=permission,
        types=tuple(
            values.parse_actor_type(table, Key(f"{table.key('types')}[{at}]"), text) for at, text in enumerate(types)
        ),
    )


def _scripts(table: Table) -> dict[str, str]:
    return {name: table.text(name, expected="a command line") for name in table}
