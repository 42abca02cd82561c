"""What the documentation says is so: links lead somewhere, code runs, and nothing public is left out."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import actrzmq
from actrzmq import ActrRuntimeError, errors, testing
from actrzmq.cli.main import COMMANDS
from tests.contracts.test_compatibility import CASES, OF_WHOLE_FILES
from tests.e2e.world import REPOSITORY, World, run_python

README = REPOSITORY / "README.md"
CHINESE = REPOSITORY / "README.zh-CN.md"
DOCS = REPOSITORY / "docs"
QUICKSTART = DOCS / "quickstart.md"
REFERENCE = DOCS / "reference.md"
CONTRACTS = DOCS / "contracts.md"
TESTING = DOCS / "testing.md"
CONFIGURATION = DOCS / "configuration.md"

PAGES = sorted([*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md")])

ACTR = ("-c", "from actrzmq.cli.entry import main; main()")


class Block(NamedTuple):
    """A piece of code in a page; `file` is the name that its first line gives it."""

    language: str
    text: str
    file: str


def blocks(page: Path) -> list[Block]:
    found = []
    for language, text in re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        name = re.match(r"(?:#|//) (\S+\.\w+)\n", text)
        found.append(Block(language, text, name[1] if name else ""))
    return found


def prose(page: Path) -> str:
    """The page without its code."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", lambda code: code[0].replace("](", "] ("), text)


def anchors(page: Path) -> set[str]:
    """What a link to a heading of this page may have after its `#`."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(page: Path) -> Iterator[str]:
    for link in re.findall(r"\]\(([^()\s]+)\)", prose(page)):
        if re.match(r"https?://", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_link_to_nowhere_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# A Title: 1.5\n\n[a](#a-title-15) [b](page.md) [c](#b) [d](gone.md) `[e](code)`\n")
    assert list(broken_links(page)) == ["#b", "gone.md"]


@pytest.mark.parametrize("page", [README, CHINESE, QUICKSTART, TESTING], ids=lambda page: page.name)
def test_every_piece_of_python_compiles(page: Path) -> None:
    pieces = [block for block in blocks(page) if block.language == "python"]
    assert pieces
    for piece in pieces:
        compile(piece.text, f"{page.name}: {piece.file}", "exec")


def test_the_readme_in_chinese_has_the_same_code_and_links() -> None:
    assert [block for block in blocks(CHINESE) if block.file] == [block for block in blocks(README) if block.file]
    english, chinese = (set(re.findall(r"\]\((\S+?)\)", prose(page))) for page in (README, CHINESE))
    assert english ^ chinese == {README.name, CHINESE.name}


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    (tmp_path / "programs").mkdir()
    world = World(tmp_path, tmp_path / "programs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        world.url = f"tcp://127.0.0.1:{probe.getsockname()[1]}"
    yield world
    world.stop()


def save(page: Path, folder: Path, *languages: str) -> None:
    """Save the files that a page shows, as its reader would."""
    for block in blocks(page):
        if block.file and block.language in languages:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text)


def test_the_code_of_the_readme_runs_in_any_order(world: World, tmp_path: Path) -> None:
    save(README, tmp_path, "python", "toml")
    hello = world.start("hello.py", cwd=tmp_path)
    greeter = world.start("greeter.py", cwd=tmp_path)
    world.broker(world.url)
    assert hello.wait() == 0, hello.err
    assert hello.out == "Hello, Ada!\n"
    assert hello.err == ""
    greeter.process.terminate()
    assert greeter.wait() == 0
    assert greeter.err == ""


def test_the_quickstart_works_as_it_is_written(world: World, tmp_path: Path) -> None:
    world.broker(world.url)
    outputs = [block.text for block in blocks(QUICKSTART) if not block.language]
    generated = [text for text in outputs if text.startswith("wrote")]
    assert len(generated) == 2
    save(QUICKSTART, tmp_path, "proto", "toml")
    server, client = tmp_path / "server", tmp_path / "client"

    assert run_python(*ACTR, "gen", cwd=server).stdout == generated[0]
    assert "raise NotImplementedError" in (server / "greeter.py").read_text()

    save(QUICKSTART, tmp_path, "python")
    serving = world.start("main.py", cwd=server)
    serving.wait_for(r"registered id=[0-9a-f]+@0:demo\+Greeter")

    installed = run_python(*ACTR, "install", cwd=client, ACTRZMQ_BROKER=world.url)
    assert installed.returncode == 0, installed.stderr
    assert run_python(*ACTR, "gen", cwd=client).stdout == generated[1]
    said = []
    for name in ("Ada", ""):
        asking = world.start("hello.py", name, cwd=client)
        assert asking.wait() == 0, asking.err
        said.append(asking.out)
    assert "".join(said) in outputs
    serving.process.terminate()
    assert serving.wait() == 0

    with (server / "protos" / "local" / "greeter.proto").open("a") as proto:
        proto.write("// changed\n")
    stale = world.start("main.py", cwd=server)
    assert stale.wait() == 1
    assert "has changed since its code was generated; run `actr gen`" in stale.err


def test_the_tests_in_the_page_about_testing_pass(tmp_path: Path) -> None:
    save(QUICKSTART, tmp_path, "proto", "toml")
    server = tmp_path / "server"
    assert run_python(*ACTR, "gen", cwd=server).returncode == 0
    save(QUICKSTART, tmp_path, "python")
    save(TESTING, tmp_path, "python")
    strict = ("-W", "error", "-p", "no:cacheprovider", "-p", "no:xdist")
    tested = run_python("-m", "pytest", "-q", *strict, cwd=server)
    assert tested.returncode == 0, tested.stdout
    assert f"{len(list(server.glob('test_*.py')))} passed" in tested.stdout


def test_the_reference_has_every_public_name() -> None:
    first_cells = re.findall(r"^\| (.+?) \|", REFERENCE.read_text(), re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(first_cells)))
    named |= {"Status"} & set(re.findall(r"`(\w+)`", REFERENCE.read_text()))  # a sentence tells of it
    assert set(actrzmq.__all__) - named == set()


def test_the_reference_has_every_name_of_testing() -> None:
    part = REFERENCE.read_text().partition("## Testing")[2].partition("\n## ")[0]
    assert set(re.findall(r"`(\w+)`", " ".join(re.findall(r"^\| (.+?) \|", part, re.MULTILINE)))) == set(
        testing.__all__
    )


def test_the_table_of_errors_has_every_class_with_its_status() -> None:
    table = REFERENCE.read_text().partition("## Errors")[2].partition("## Commands")[0]
    shown = re.findall(r"^\| `(\w+)` \| (\w+) \|", table, re.MULTILINE)
    classes = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ActrRuntimeError)]
    assert sorted(shown) == sorted((kind.__name__, kind.default_code.name) for kind in classes)


def test_the_table_of_rules_has_each_rule_at_the_levels_where_the_tests_find_it() -> None:
    found: dict[str, set[str]] = {rule: {"FILE"} for rule in OF_WHOLE_FILES}
    for _, _, _, forth, back in CASES.values():
        for key, levels in [*forth.items(), *back.items()]:
            found.setdefault(key.split()[0], set()).update(levels.split())
    rows = re.findall(r"^\| `(\w+)` \| (yes)? ?\| (yes)? ?\|", CONTRACTS.read_text(), re.MULTILINE)
    shown = {rule: {level for level, has in (("FILE", code), ("WIRE", wire)) if has} for rule, code, wire in rows}
    assert shown == found


def test_the_reference_has_every_command_and_no_other() -> None:
    assert set(re.findall(r"`actr ([a-z][\w-]*)\b", REFERENCE.read_text())) == set(COMMANDS)


def test_every_variable_that_the_code_reads_is_in_the_configuration() -> None:
    sources = "".join(path.read_text() for path in (REPOSITORY / "actrzmq").rglob("*.py"))
    read = set(re.findall(r'"((?:ACTRZMQ|XDG)_[A-Z_]+)"', sources))
    table = CONFIGURATION.read_text().partition("## Environment")[2]
    assert read == set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE))


def test_the_list_of_decisions_is_complete_and_numbered() -> None:
    pages = sorted(page.name for page in (DOCS / "adr").glob("[0-9]*.md"))
    assert [page.split("-")[0] for page in pages] == [f"{number:04}" for number in range(1, len(pages) + 1)]
    assert re.findall(r"\]\((\d\S+)\)", (DOCS / "adr" / "README.md").read_text()) == pages
    for page in pages:
        headings = re.findall(r"^## (.+)$", (DOCS / "adr" / page).read_text(), re.MULTILINE)
        assert headings == ["Context", "Decision", "What follows"]
