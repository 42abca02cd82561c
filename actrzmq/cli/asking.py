"""How commands ask the broker for contracts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from actrzmq.cli.exits import CommandError, Exit
from actrzmq.cli.visiting import WAIT_S, seconds

if TYPE_CHECKING:
    from actrzmq.install.project import Ask
    from actrzmq.install.questions import Answer, Question
    from actrzmq.manifest.model import Manifest
    from actrzmq.runtime.visitor import Visitor

Command = Callable[..., Any]

_OPTIONS = (
    click.option(
        "--timeout",
        type=seconds,
        default=WAIT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the broker.",
    ),
    click.option("--broker", "url", metavar="URL", help="[default: $ACTRZMQ_BROKER, or the manifest's]"),
)

manifest_option = click.option(
    "--actr-toml",
    "manifest_path",
    type=click.Path(),
    default="Actr.toml",
    show_default=True,
    help="The project's manifest.",
)


def asking_options(command: Command) -> Command:
    """Give `command` the options `--broker` and `--timeout`, as `url` and `timeout`."""
    for option in _OPTIONS:
        command = option(command)
    return command


def ask_broker(url: str | None, timeout: float) -> Ask:
    """What asks the broker at `url`, or the manifest's: one visit for each realm."""

    def ask(manifest: Manifest, questions: Sequence[Question]) -> Sequence[Answer]:
        answers: dict[Question, Answer] = {}
        for realm in sorted({question.dependency.realm for question in questions}):
            own = [question for question in questions if question.dependency.realm == realm]
            answers |= zip(own, _visit(url or manifest.broker_url, realm, own, timeout), strict=True)
        return [answers[question] for question in questions]

    return ask


def _visit(url: str, realm: int, questions: Sequence[Question], timeout: float) -> Sequence[Answer]:
    from actrzmq.cli.visiting import run_visit
    from actrzmq.errors import ActrTransportError
    from actrzmq.install.questions import ask

    answers: list[Answer] = []

    async def main(visitor: Visitor) -> None:
        answers.extend(await ask(visitor, questions))

    try:
        run_visit(main, url, realm, timeout)
    except ActrTransportError as error:
        raise CommandError(f"the broker at {url} went away: {error.message}", Exit.NO_BROKER) from None
    return answers
