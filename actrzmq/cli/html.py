"""HTML in which nothing can be forgotten to escape: text is text unless it was made here."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from actrzmq.cli.exits import printable

_CODE = re.compile(r"`([^`\n]+)`")


class Html(str):
    """A string that is HTML already."""

    __slots__ = ()


def tag(name: str, *content: str, **attributes: str) -> Html:
    """An element. What of `content` is not `Html` is escaped, and so is each attribute.

    `class_` means `class`, and `aria_label` means `aria-label`.
    """
    said = "".join(f' {key.rstrip("_").replace("_", "-")}="{safe(value)}"' for key, value in attributes.items())
    return Html(f"<{name}{said}>{joined(content)}</{name}>")


def safe(text: str) -> Html:
    """`text` as HTML, with what could not be seen in it spelled out."""
    return text if isinstance(text, Html) else Html(escape(printable(text)))


def joined(content: Iterable[str]) -> Html:
    """All of `content`, one behind the other."""
    return Html("".join(map(safe, content)))


def prose(text: str) -> Html:
    """A comment: paragraphs, lists of lines that begin with `-` or `*`, indented examples, and `code`."""
    return joined(_part(part) for part in re.split(r"\n\s*\n", text) if part.strip())


def _part(part: str) -> Html:
    lines = part.strip("\n").split("\n")
    if all(line.startswith("    ") for line in lines):
        return tag("pre", "\n".join(line[4:] for line in lines))
    items: list[list[str]] = [[]]
    marks = [False]
    for line in lines:
        marked = line.lstrip()[:2] in ("- ", "* ")
        if marked:
            items.append([])
            marks.append(True)
        items[-1].append(line.lstrip()[2:] if marked else line.strip())
    before, *listed = (_inline("\n".join(item)) for item in items)
    return joined(
        [
            tag("p", before) if before else Html(),
            tag("ul", *(tag("li", item) for item in listed)) if listed else Html(),
        ]
    )


def _inline(text: str) -> Html:
    pieces = _CODE.split(text)  # every second one stood between backticks
    return joined(tag("code", piece) if at % 2 else piece for at, piece in enumerate(pieces))
