"""Log lines: one for each fact, and none that a name from elsewhere could forge."""

import logging
import re
from collections.abc import Callable, Iterator

import pytest

from actrzmq.observe.log import LineFormatter, configure, escape

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (debug|info|warning|error|critical) actrzmq\.\S+ \S")


Printed = Callable[[], str]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Iterator[Printed]:
    logger = logging.getLogger("actrzmq")
    before = logger.handlers[:], logger.level, logger.propagate
    yield lambda: capsys.readouterr().err
    logger.handlers[:], logger.level, logger.propagate = before


def test_a_fact_is_a_line_with_time_level_and_logger(printed: Printed) -> None:
    configure("info")
    logging.getLogger("actrzmq.broker").info("node up name=%s", "echo")
    line = printed()
    assert LINE.match(line)
    assert line.endswith(" info actrzmq.broker node up name=echo\n")


@pytest.mark.parametrize(
    "name", ["a\nb", "a\r\nready endpoint=x", "\x1b[2J", "\u202eevil", "\u2028", "\x85", "\0", "\udc80"]
)
def test_a_hostile_name_stays_within_its_line(printed: Printed, name: str) -> None:
    configure("info")
    logging.getLogger("actrzmq.broker").info("node up name=%s", name)
    assert printed().removesuffix("\n").isprintable()


def test_plain_text_in_any_script_stays_as_it_is() -> None:
    assert escape("Grüße, 世界 C:\\n") == "Grüße, 世界 C:\\n"


def test_a_traceback_is_marked_as_belonging_to_its_line(printed: Printed) -> None:
    configure("info")
    try:
        raise ValueError("evil\n2026-01-01T00:00:00.000Z info actrzmq.broker forged")
    except ValueError:
        logging.getLogger("actrzmq.node").exception("failed")
    first, *rest = printed().splitlines()
    assert LINE.match(first)
    assert rest
    assert all(line.startswith("  | ") for line in rest)


def test_lines_that_the_author_of_a_message_meant_are_kept(printed: Printed) -> None:
    configure("info")
    logging.getLogger("actrzmq.node").warning("blocked lag_ms=%d\n%s", 3000, "one\ntwo\x1b")
    assert printed().splitlines()[1:] == ["  | one", "  | two\\x1b"]


def test_what_is_below_the_level_is_not_printed_and_configuring_twice_prints_once(printed: Printed) -> None:
    configure("WARNING")
    configure("warning")
    logging.getLogger("actrzmq.node").info("no")
    logging.getLogger("actrzmq.node").warning("yes")
    assert printed().count("\n") == 1


def test_importing_the_library_configures_nothing() -> None:
    record = logging.LogRecord("actrzmq.x", logging.INFO, "", 0, "%s", ("x",), None)
    assert LineFormatter().format(record).endswith(" info actrzmq.x x")
