"""Outlines as text that reads like a .proto file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from actrzmq.contracts.outline import Enum, Field, Message, Method, Outline, Service

_INDENT = "  "


def outline_text(file: Outline) -> str:
    """All that `file` declares; full names are kept at the declarations, so that they can be asked for."""
    parts = [service_text(service) for service in file.services]
    parts += [message_text(message) for message in file.messages]
    parts += [enum_text(enum) for enum in file.enums]
    return "\n\n".join(parts)


def service_text(service: Service) -> str:
    """A service with its methods."""
    return "\n".join(_block(service.doc, f"service {service.name}", map(method_text, service.methods)))


def method_text(method: Method) -> str:
    """One rpc."""
    taken = f"{'stream ' if method.client_streaming else ''}{method.request}"
    given = f"{'stream ' if method.server_streaming else ''}{method.response}"
    options = []
    if method.idempotency:
        options.append(f"option idempotency_level = {method.idempotency};")
    if method.deprecated:
        options.append("option deprecated = true;")
    end = f" {{ {' '.join(options)} }}" if options else ";"
    return "\n".join([*_comment(method.doc), f"rpc {method.name}({taken}) returns ({given}){end}"])


def message_text(message: Message, name: str = "") -> str:
    """A message, with what is declared inside it, under its full name or the one given."""
    body = [_deprecation(message.deprecated)]
    body += [f"reserved {entry};" for entry in message.reserved]
    body += [enum_text(enum, _short(enum.name)) for enum in message.enums]
    body += [message_text(inner, _short(inner.name)) for inner in message.messages]
    body += _fields(message.fields)
    return "\n".join(_block(message.doc, f"message {name or message.name}", filter(None, body)))


def enum_text(enum: Enum, name: str = "") -> str:
    """An enum, under its full name or the one given."""
    values = [
        "\n".join([*_comment(value.doc), f"{value.name} = {value.number}{_options(value.deprecated)};"])
        for value in enum.values
    ]
    body = filter(None, [_deprecation(enum.deprecated), *values])
    return "\n".join(_block(enum.doc, f"enum {name or enum.name}", body))


def _short(name: str) -> str:
    return name.rpartition(".")[2]


def _fields(fields: Sequence[Field]) -> Iterator[str]:
    for oneof, members in groupby(fields, key=lambda field: field.oneof):
        if oneof:
            yield "\n".join(_block("", f"oneof {oneof}", map(_field, members)))
        else:
            yield from map(_field, members)


def _field(field: Field) -> str:
    kind = f"map<{field.key}, {field.type.name}>" if field.key else field.type.name
    label = f"{field.label} " if field.label else ""
    options = _options(field.deprecated, _default(field))
    return "\n".join([*_comment(field.doc), f"{label}{kind} {field.name} = {field.number}{options};"])


def _default(field: Field) -> str:
    """The default as it is written. That of text is free text, from which nothing may break out."""
    if field.type.name == "string" and field.default:
        return json.dumps(field.default, ensure_ascii=False)
    if field.type.name == "bytes" and field.default:  # protoc has escaped it already; others may not
        return f'"{field.default}"'.replace("\n", "\\n")
    return field.default


def _options(deprecated: bool, default: str = "") -> str:
    said = [f"default = {default}"] if default else []
    said += ["deprecated = true"] if deprecated else []
    return f" [{', '.join(said)}]" if said else ""


def _deprecation(deprecated: bool) -> str:
    return "option deprecated = true;" if deprecated else ""


def _comment(doc: str) -> list[str]:
    return [f"// {line}".rstrip() for line in doc.splitlines()]


def _block(doc: str, head: str, body: Iterable[str]) -> list[str]:
    lines = [f"{_INDENT}{line}".rstrip() for text in body for line in text.split("\n")]
    if not lines:
        return [*_comment(doc), f"{head} {{}}"]
    return [*_comment(doc), f"{head} {{", *lines, "}"]
