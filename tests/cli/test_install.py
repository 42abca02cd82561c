"""`actr install`, `remove` and `outdated` on the command line: what they print, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from actrzmq.cli.exits import CommandError, Exit
from actrzmq.cli.main import run
from actrzmq.identity import ActrType
from actrzmq.install.questions import Answer, Question, ask
from actrzmq.manifest.model import DEFAULT_BROKER_URL
from tests.codegen.protos import STREAM_SERVER
from tests.install.conftest import MANIFEST
from tests.install.published import ALIAS, GOLDEN, NEWER, Versions, contents, published, run_to_end, stream_echo, tree

OLD, NEW = stream_echo(), stream_echo(NEWER)
COMPATIBLE = stream_echo(STREAM_SERVER.replace("string message = 2;", "string message = 2;\n  int64 at = 3;"))
C = ActrType("acme", "C")
LOCKED = f"{ALIAS}  8cd6382d3747"


class Desk:
    """A command line in a project, and what a broker would answer."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.catalogue: Versions | None = None
        self.visits: list[tuple[str, int]] = []
        self._capsys = capsys

    def visit(self, url: str, realm: int, questions: Sequence[Question], timeout: float) -> Sequence[Answer]:
        self.visits.append((url, realm))
        if self.catalogue is None:
            raise CommandError(f"no broker at {url} within {timeout:g} s", Exit.NO_BROKER)
        return run_to_end(ask(self.catalogue, questions))

    def __call__(self, *arguments: str) -> tuple[int, list[str], list[str]]:
        """The exit code, and the lines on standard output and standard error."""
        code = run(arguments)
        out, err = self._capsys.readouterr()
        return code, out.splitlines(), err.splitlines()


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Desk:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "Actr.toml").write_text(MANIFEST)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("ACTRZMQ_BROKER", raising=False)
    desk = Desk(folder, capsys)
    monkeypatch.setattr("actrzmq.cli.asking._visit", desk.visit)
    return desk


@pytest.fixture
def installed(desk: Desk) -> Desk:
    desk.catalogue = Versions(OLD)
    assert desk("install")[0] == 0
    desk.catalogue = None
    return desk


def test_each_dependency_is_one_line(desk: Desk) -> None:
    desk.catalogue = Versions(OLD)
    assert desk("install") == (0, [f"added      {LOCKED}", "next: actr gen"], [])
    assert desk.visits == [(DEFAULT_BROKER_URL, 0)]
    desk.catalogue = None
    assert desk("install") == (0, [f"unchanged  {LOCKED}"], [])


def test_an_update_says_what_it_breaks(installed: Desk) -> None:
    installed.catalogue = Versions(OLD, NEW)
    code, out, err = installed("install", "--update")
    assert (code, err) == (0, [])
    assert out[0] == f"updated    {LOCKED} -> {NEW.fingerprint[17:29]}  breaking"
    assert out[1].startswith("  stream_server.proto: FIELD_NO_DELETE stream_server.RegisterStreamRequest")
    installed.catalogue = Versions(NEW)
    assert installed("install", "--update", ALIAS)[1][0].startswith("unchanged")


@pytest.mark.parametrize(
    "arguments", [("--update",), ("--update", ALIAS), (ALIAS, "--update"), ("--update", "--dry-run")]
)
def test_update_takes_an_alias_or_none(installed: Desk, arguments: tuple[str, ...]) -> None:
    installed.catalogue = Versions(COMPATIBLE)
    code, out, _ = installed("install", *arguments)
    assert code == 0
    assert f"updated    {LOCKED} -> {COMPATIBLE.fingerprint[17:29]}  compatible" in out


def test_a_dry_run_says_what_would_change_and_changes_nothing(desk: Desk) -> None:
    desk.catalogue = Versions(OLD)
    code, out, _ = desk("install", "--dry-run")
    assert (code, out) == (0, ["a dry run; nothing is written", f"added      {LOCKED}"])
    assert contents(desk.folder) == {"Actr.toml": MANIFEST.encode()}


def test_json_is_for_programs(desk: Desk) -> None:
    desk.catalogue = Versions(OLD)
    found = json.loads("\n".join(desk("install", "--json")[1]))
    assert found == [{"dependency": ALIAS, "change": "added", "old": None, "new": GOLDEN, "breaking": None}]
    [found] = json.loads("\n".join(desk("outdated", "--json")[1]))
    assert (found["alias"], found["verdict"], found["findings"]) == (ALIAS, "identical", [])
    [found] = json.loads("\n".join(desk("remove", ALIAS, "--json")[1]))
    assert (found["dependency"], found["change"], found["old"]) == (ALIAS, "removed", GOLDEN)


def test_a_dependency_is_added_and_removed(desk: Desk) -> None:
    desk.catalogue = Versions(OLD)
    assert desk("install", "echo", "--type", "acme+StreamEchoServer", "--name", ALIAS)[0] == 0
    assert (
        f'echo = {{ name = "{ALIAS}", actr_type = "acme+StreamEchoServer" }}' in (desk.folder / "Actr.toml").read_text()
    )
    assert desk("remove", "echo") == (0, ["removed    echo  8cd6382d3747", "next: actr gen"], [])
    assert (desk.folder / "Actr.toml").read_text() == MANIFEST


def without_files(desk: Desk) -> None:
    (desk.folder / "protos" / "remote" / ALIAS / "stream_server.proto").unlink()


def break_manifest(desk: Desk) -> None:
    (desk.folder / "Actr.toml").write_text("[package\n")


def break_lock(desk: Desk) -> None:
    (desk.folder / "Actr.lock.toml").write_text("[[dependency]]\n")


def remove_lock(desk: Desk) -> None:
    (desk.folder / "Actr.lock.toml").unlink()


def nothing(desk: Desk) -> None:
    pass


MISTAKES: dict[str, tuple[Callable[[Desk], None], Versions | None, str, int, str]] = {
    "no broker": (without_files, None, "install", 3, "no broker at"),
    "no broker for outdated": (nothing, None, "outdated", 3, "no broker at"),
    "nothing published": (remove_lock, Versions(), "install", 4, "nothing is published for acme+StreamEchoServer"),
    "another contract": (without_files, Versions(NEW), "install", 6, f"actr install --update {ALIAS}"),
    "frozen": (without_files, Versions(OLD), "install --frozen", 6, "its files are missing"),
    "frozen without lock": (remove_lock, Versions(OLD), "install --frozen", 2, "without --frozen"),
    "frozen and update": (nothing, None, "install --frozen --update", 2, "--frozen changes nothing"),
    "a type of nobody": (nothing, None, "install --type acme+A", 2, "actr install ALIAS --type TYPE"),
    "a type that is none": (nothing, None, "install b --type nonsense", 2, "expected an actor type, as in acme+Echo"),
    "an alias that is none": (nothing, None, "install ../b", 2, "expected an alias"),
    "another target": (nothing, None, f"install {ALIAS} --type acme+B", 2, "already there"),
    "an unknown update": (nothing, None, "install --update strea", 2, "there is no dependency 'strea'"),
    "an unknown removal": (nothing, None, "remove strea", 2, "there is no dependency 'strea'"),
    "a broken manifest": (break_manifest, None, "install", 2, "expected valid TOML"),
    "a broken manifest for remove": (break_manifest, None, "remove a", 2, "expected valid TOML"),
    "a broken lock": (break_lock, None, "install", 2, "Actr.lock.toml: metadata.version"),
    "no manifest": (nothing, None, "install --actr-toml gone.toml", 2, "gone.toml: no such file"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_has_its_words_and_exit_code_and_changes_nothing(installed: Desk, case: str) -> None:
    prepare, installed.catalogue, line, expected, words = MISTAKES[case]
    prepare(installed)
    before = tree(installed.folder)
    code, out, err = installed(*line.split())
    assert (code, out) == (expected, [])
    assert words in "\n".join(err)
    assert "Traceback" not in "\n".join(err)
    assert tree(installed.folder) == before


def test_ctrl_c_exits_130_and_changes_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> Sequence[Answer]:
        raise KeyboardInterrupt

    monkeypatch.setattr("actrzmq.cli.asking._visit", interrupt)
    assert desk("install")[:2] == (130, [])
    assert contents(desk.folder) == {"Actr.toml": MANIFEST.encode()}
    assert [path.name for path in desk.folder.iterdir()] == ["Actr.toml"]


def test_outdated_compares_the_locked_contract_with_the_newest(installed: Desk) -> None:
    (installed.folder / "Actr.toml").write_text(MANIFEST.replace("[package]", "b = {}\nc = {}\n[package]"))
    at = "2026-01-26T07:42:02+00:00"
    installed.catalogue = Versions(OLD, replace(NEW, published_at=at), published(OLD.contract, "c", C))  # type: ignore[arg-type]
    code, out, _ = installed("outdated")
    rows = [line.split() for line in out[:4]]
    new = NEW.fingerprint[17:29]
    assert code == 0
    assert rows == [
        ["DEPENDENCY", "LOCKED", "NEWEST", "VERDICT", "PUBLISHED"],
        ["b", "-", "-", "not", "published", "-"],
        ["c", "-", "8cd6382d3747", "not", "installed", "-"],
        [ALIAS, "8cd6382d3747", new, "breaking", at],
    ]
    assert out[4].startswith(f"{ALIAS}: stream_server.proto: FIELD_NO_DELETE")


@pytest.mark.parametrize(
    ("versions", "verdict"), [((OLD, COMPATIBLE), "compatible"), ((OLD,), "identical"), ((NEW,), "unknown")]
)
def test_outdated_asks_for_the_locked_contract_where_its_files_are_gone(
    installed: Desk, versions: tuple[object, ...], verdict: str
) -> None:
    without_files(installed)
    installed.catalogue = Versions(*versions)  # type: ignore[arg-type]
    [found] = json.loads("\n".join(installed("outdated", "--json")[1]))
    assert found["verdict"] == verdict


def test_each_realm_is_visited_once(desk: Desk) -> None:
    desk.catalogue = Versions(OLD, published(OLD.contract, "b", C, realm=7))  # type: ignore[arg-type]
    (desk.folder / "Actr.toml").write_text(MANIFEST.replace("[package]", "b = { realm = 7 }\n[package]"))
    assert desk("install", "--broker", "tcp://127.0.0.1:1")[0] == 0
    assert desk.visits == [("tcp://127.0.0.1:1", 0), ("tcp://127.0.0.1:1", 7)]


def test_gen_finishes_what_an_interrupted_install_began(installed: Desk) -> None:
    state = installed.folder / ".actr"
    (state / "stage").mkdir(parents=True)
    (state / "stage" / "0").write_text(STREAM_SERVER.replace("RegisterStreamRequest", "Asking"))
    journal: dict[str, object] = {"version": 1, "lock": True, "manifest": None, "manifest_was": "", "remove": []}
    (state / "journal.json").write_text(json.dumps({**journal, "write": [f"{ALIAS}/stream_server.proto"]}))
    assert installed("gen")[0] == 0
    assert not state.exists()
    assert (
        "Asking"
        in (installed.folder / "generated/remote/stream_register_server_python/stream_server_pb2.pyi").read_text()
    )


@pytest.mark.parametrize("command", ["install", "remove", "outdated"])
def test_help_shows_an_example(desk: Desk, command: str) -> None:
    code, out, _ = desk(command, "--help")
    assert code == 0
    assert any(line.strip().startswith(f"actr {command}") for line in out)
