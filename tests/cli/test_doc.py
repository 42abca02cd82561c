"""`actr doc`: a page that says all that the contracts say, and does nothing by itself."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from actrzmq.cli.html import prose, tag
from actrzmq.cli.reference import Part, render
from actrzmq.contracts.outline import Enum, Field, Message, Method, Outline, Service, Type, Value
from tests.cli.commands import MANIFEST, actr, refused

EVIL = "</style></p><script>alert(1)</script>\"'><img src=x onerror=alert(1)>\x00\x1b[2J\u202e"

ORDERS = """
// The order book.
syntax = "proto3";
package shop;
import "google/protobuf/timestamp.proto";
// Takes orders.
service Orders {
  // Takes one. See `Item`.
  rpc Place(PlaceRequest) returns (PlaceResponse) { option idempotency_level = IDEMPOTENT; }
}
message PlaceRequest {
  // Chosen by the client.
  string id = 1;
  map<string, Item> items = 2;
  oneof where { string street = 3; int32 locker = 4; }
  optional google.protobuf.Timestamp at = 5 [deprecated = true];
  message Item { repeated Kind kinds = 1; enum Kind { NONE = 0; /* Paper. */
    BOOK = 1; } }
  reserved 8 to 9;
}
message PlaceResponse {}
"""

GEO = 'syntax = "proto3"; package geo; message A {} service Geo { rpc Find(A) returns (A); }'


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for path, text in (("local/orders.proto", ORDERS), ("remote/geo/geo.proto", GEO)):
        file = tmp_path / "protos" / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (tmp_path / "Actr.toml").write_text(
        f'exports = ["protos/local/orders.proto"]\n{MANIFEST}[dependencies]\ngeo = {{ actr_type = "acme+Geo" }}\n'
    )
    return tmp_path


class Page(HTMLParser):
    """What is on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name == "href"]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_has_every_name_and_every_comment(project: Path) -> None:
    found = actr("doc", cwd=project)
    assert (found.returncode, found.stdout) == (0, "wrote doc/index.html\n"), found.stderr
    page = Page((project / "doc" / "index.html").read_text())
    for text in ("The order book.", "Takes orders.", "Takes one. See ", "Chosen by the client.", "Paper.", "acme+Geo"):
        assert text in page.text
    for name in ("shop.Orders", "shop.PlaceRequest", "shop.PlaceRequest.Item.Kind", "geo.Geo", "locker", "BOOK"):
        assert name in page.text
    for note in ("map<string, ", "one of where", "deprecated", "idempotent", "8 to 9", "service_semantic:"):
        assert note in page.text
    assert 'actr call acme+A shop.Orders.Place \'{"id": "", "items": {}, "street": "", "at": null}\'' in page.text


def test_every_link_leads_to_a_place_on_the_page_and_nowhere_else(project: Path) -> None:
    actr("doc", "--output", "out/site", cwd=project)
    text = (project / "out" / "site" / "index.html").read_text()
    page = Page(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert {unquote(link) for link in page.links} <= {f"#{one}" for one in page.ids}
    assert "#a/shop.PlaceRequest.Item.Kind" in page.links
    assert not re.search(r"https?:|url\(|@import|<script|<link", text)
    assert [path.name for path in (project / "out" / "site").iterdir()] == ["index.html"]


def test_the_page_follows_the_reader_into_the_dark(project: Path) -> None:
    actr("doc", cwd=project)
    assert "prefers-color-scheme: dark" in (project / "doc" / "index.html").read_text()


def test_what_is_not_exported_is_said_to_be_so(project: Path) -> None:
    (project / "Actr.toml").write_text(MANIFEST)
    actr("doc", cwd=project)
    text = (project / "doc" / "index.html").read_text()
    assert "not exported" in text
    assert "actr call" not in text


def test_hostile_names_and_comments_stay_text() -> None:
    kind = Type(EVIL, is_declared=True)
    message = Message(EVIL, (Field(EVIL, 1, kind, EVIL, EVIL, EVIL, EVIL, deprecated=True, doc=EVIL),), doc=EVIL)
    hostile = Outline(
        path=EVIL,
        package=EVIL,
        syntax=EVIL,
        imports=(EVIL,),
        services=(Service(EVIL, (Method(EVIL, EVIL, EVIL, EVIL, idempotency=EVIL, doc=EVIL),), doc=EVIL),),
        messages=(message,),
        enums=(Enum(EVIL + "2", (Value(EVIL, 1, doc=EVIL),), doc=EVIL),),
        doc=EVIL,
    )
    text = render(EVIL, [Part(EVIL, EVIL, EVIL, (hostile,), frozenset({EVIL}), EVIL, EVIL)])
    page = Page(text)
    assert page.open == []
    assert not page.tags & {"script", "img"}
    assert not any(name.startswith("on") for name in page.attributes)
    assert not set(text) & {"\x00", "\x1b", "\u202e"}


def test_text_is_escaped_and_html_is_not_escaped_again() -> None:
    assert tag("p", "<a>", tag("b", "&"), title='"') == '<p title="&quot;">&lt;a&gt;<b>&amp;</b></p>'


def test_comments_become_paragraphs_lists_code_and_examples() -> None:
    assert prose("One.\nTwo `x < y`.\n\nLook:\n- a\n  b\n- c\n\n    run <it>") == (
        "<p>One.\nTwo <code>x &lt; y</code>.</p><p>Look:</p><ul><li>a\nb</li><li>c</li></ul><pre>run &lt;it&gt;</pre>"
    )


def test_a_broken_proto_leaves_the_old_page(project: Path) -> None:
    actr("doc", cwd=project)
    before = (project / "doc" / "index.html").read_bytes()
    (project / "protos" / "local" / "orders.proto").write_text("nonsense")
    assert "protos/local/orders.proto:1:1" in refused(actr("doc", cwd=project), 2)
    assert (project / "doc" / "index.html").read_bytes() == before
