"""docs/cli.md is what the commands say of themselves."""

from __future__ import annotations

from actrzmq.cli.main import COMMANDS
from actrzmq.cli.manual import manual
from tests.e2e.world import REPOSITORY


def test_the_page_of_commands_is_fresh() -> None:
    assert (REPOSITORY / "docs" / "cli.md").read_text() == manual(), "make docs"


def test_it_has_every_command() -> None:
    for name in COMMANDS:
        assert f"\n## actr {name}\n" in manual()
