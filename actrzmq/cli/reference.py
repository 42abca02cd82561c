"""The reference of a project's contracts as one page of HTML."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from importlib.resources import files
from urllib.parse import quote

from msgspec import Struct

from actrzmq.cli.html import Html, joined, prose, safe, tag
from actrzmq.contracts.outline import Enum, Field, Message, Method, Outline, Service

_TEXT = ("string", "bytes")

# Even if something got through that was not escaped, nothing may be loaded or run.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


class Part(Struct, frozen=True):
    """One contract on the page: the project's own, or that of a dependency."""

    name: str
    title: str
    actor_type: str
    """Empty where it is not known."""
    outlines: tuple[Outline, ...]
    exported: frozenset[str]
    """The paths of the files that others may call."""
    fingerprint: str = ""
    description: str = ""


def render(title: str, parts: Sequence[Part]) -> str:
    """The page, whole: no script, no network, one style sheet inside."""
    style = files("actrzmq.cli").joinpath("templates", "reference.css").read_text()
    head = joined(
        [
            Html('<meta charset="utf-8">'),
            Html(f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'),
            Html('<meta name="viewport" content="width=device-width, initial-scale=1">'),
            Html('<meta name="color-scheme" content="light dark">'),
            tag("title", title),
            tag("style", Html(style)),
        ]
    )
    pages = [_Page(part) for part in parts]
    home = tag("h1", tag("a", title, href="#top"))
    body = joined(
        [
            tag("nav", home, *(page.contents() for page in pages), aria_label="Contents"),
            tag("main", *(page.body() for page in pages), id="top"),
        ]
    )
    return f'<!DOCTYPE html>\n<html lang="en">{tag("head", head)}{tag("body", body)}</html>\n'


class _Page:
    """One part; types are linked to where the page shows them."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._messages = {message.name: message for file in part.outlines for message in file.all_messages()}
        self._enums = {enum.name: enum for file in part.outlines for enum in file.all_enums()}
        self._declared = {*self._messages, *self._enums}

    # contents

    def contents(self) -> Html:
        """Its entries in the table of contents."""
        part = self._part
        services = [service for file in part.outlines for service in file.services]
        types = sorted(self._declared)
        return joined(
            [
                tag("h2", self._link("", part.title)),
                self._entries("Services", [service.name for service in services]),
                self._entries("Types", types),
            ]
        )

    def _entries(self, heading: str, names: Sequence[str]) -> Html:
        if not names:
            return Html()
        items = (tag("li", self._link(name, _without_package(name, self._part.outlines))) for name in names)
        return joined([tag("h3", heading), tag("ul", *items)])

    # body

    def body(self) -> Html:
        """All that it has to say."""
        part = self._part
        facts = [("actor type", part.actor_type), ("fingerprint", part.fingerprint)]
        return tag(
            "section",
            tag("h2", part.title, id=self._id("")),
            prose(part.description),
            tag("dl", *(joined([tag("dt", name), tag("dd", tag("code", said))]) for name, said in facts if said)),
            *map(self._file, part.outlines),
            class_="part",
        )

    def _file(self, file: Outline) -> Html:
        exported = file.path in self._part.exported
        note = "" if exported else tag("span", "not exported", class_="badge")
        return joined(
            [
                tag("h3", tag("code", file.path), " ", note, class_="file"),
                prose(file.doc),
                *(self._service(service, exported=exported) for service in file.services),
                *map(self._message, file.all_messages()),
                *map(self._enum, file.all_enums()),
            ]
        )

    def _service(self, service: Service, *, exported: bool) -> Html:
        return self._card(
            "service",
            service.name,
            service.doc,
            service.deprecated,
            (self._method(method, exported=exported) for method in service.methods),
        )

    def _method(self, method: Method, *, exported: bool) -> Html:
        signature = tag(
            "h5",
            tag("span", method.name, class_="name"),
            "(",
            _stream(method.client_streaming),
            self._type(method.request),
            ") → ",
            _stream(method.server_streaming),
            self._type(method.response),
            " ",
            *_badges(method.deprecated, method.idempotency.lower().replace("_", " ")),
            id=self._id(method.route_key),
        )
        return tag("div", signature, prose(method.doc), self._example(method) if exported else "", class_="method")

    def _example(self, method: Method) -> Html:
        request = self._messages.get(method.request)
        if not self._part.actor_type or method.client_streaming or method.server_streaming:
            return Html()
        example = json.dumps(self._values(request.fields) if request else {})
        quoted = example.replace("'", "'\\''")
        return tag("pre", f"actr call {self._part.actor_type} {method.route_key} '{quoted}'")

    def _values(self, fields: Iterable[Field]) -> dict[str, object]:
        """One value for each field, but of each oneof only the first."""
        oneofs: set[str] = set()
        values = {}
        for field in fields:
            if field.oneof not in oneofs:
                values[field.name] = self._value(field)
                oneofs |= {field.oneof} - {""}
        return values

    def _value(self, field: Field) -> object:
        value: object = 0
        if field.type.name in self._messages:
            value = {}
        elif field.type.name in self._enums:
            value = self._enums[field.type.name].values[0].name
        elif field.type.name in _TEXT:
            value = ""
        elif field.type.name == "bool":
            value = False
        elif field.type.is_declared:  # a well-known type, whose JSON may be anything
            value = None
        return {} if field.key else [value] if field.label == "repeated" else value

    def _message(self, message: Message) -> Html:
        rows = [
            (tag("code", field.name), self._kind(field), str(field.number), joined([prose(field.doc), _extras(field)]))
            for field in message.fields
        ]
        body = [_table(("Field", "Type", "No.", "Meaning"), rows)] if rows else [tag("p", "No fields.", class_="none")]
        if message.reserved:
            body.append(tag("p", f"Reserved: {', '.join(message.reserved)}", class_="none"))
        return self._card("message", message.name, message.doc, message.deprecated, body)

    def _enum(self, enum: Enum) -> Html:
        rows = [
            (
                tag("code", value.name),
                str(value.number),
                joined([prose(value.doc), *_badges(value.deprecated)]),
            )
            for value in enum.values
        ]
        return self._card("enum", enum.name, enum.doc, enum.deprecated, [_table(("Value", "No.", "Meaning"), rows)])

    def _card(self, kind: str, name: str, doc: str, deprecated: bool, body: Iterable[str]) -> Html:
        heading = tag("h4", tag("span", kind, class_="kind"), " ", name, " ", *_badges(deprecated), id=self._id(name))
        return tag("article", heading, prose(doc), *body, class_=kind)

    # links

    def _kind(self, field: Field) -> Html:
        kind = self._type(field.type.name)
        if field.key:
            return joined([f"map<{field.key}, ", kind, ">"])
        return joined([f"{field.label} " if field.label else "", kind])

    def _type(self, name: str) -> Html:
        shown = _without_package(name, self._part.outlines)
        return self._link(name, shown) if name in self._declared else tag("span", shown, class_="type")

    def _link(self, name: str, shown: str) -> Html:
        return tag("a", shown, href=f"#{quote(self._id(name))}", title=name or self._part.name)

    def _id(self, name: str) -> str:
        return f"{self._part.name}/{name}" if name else self._part.name


def _without_package(name: str, outlines: Iterable[Outline]) -> str:
    """`name` without the package of these files, if it is in one."""
    for package in sorted({file.package for file in outlines}, key=len, reverse=True):
        if package and name.startswith(f"{package}."):
            return name.removeprefix(f"{package}.")
    return name


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Html:
    head = tag("thead", tag("tr", *(tag("th", heading) for heading in headings)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("div", tag("table", head, body), class_="table")


def _badges(deprecated: bool, *others: str) -> Iterator[Html]:
    for text in ("deprecated" if deprecated else "", *others):
        if text:
            yield tag("span", text, class_="badge")


def _extras(field: Field) -> Html:
    said = [f"one of {field.oneof}"] if field.oneof else []
    said += [f"default {field.default}"] if field.default else []
    return joined([safe(" "), *_badges(field.deprecated, *said)])


def _stream(streams: bool) -> str:
    return "stream " if streams else ""
