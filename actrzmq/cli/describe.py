"""`actr describe`: what a service offers, by the contract that it has published."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from actrzmq.cli.exits import one_line, printable
from actrzmq.cli.output import json_option, show_json
from actrzmq.cli.visiting import broker_options, run_visit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from actrzmq.contracts.bundle import Published
    from actrzmq.contracts.outline import Enum, Message, Method, Outline, Service
    from actrzmq.runtime.visitor import Visitor

    Declared = Service | Method | Message | Enum


@click.command()
@click.argument("type_or_name", metavar="TYPE")
@click.argument("symbol", required=False, metavar="[SERVICE|METHOD|MESSAGE]")
@click.option("--fingerprint", default="", help="A version other than the newest one: service_semantic:…")
@json_option
@broker_options
def describe(
    type_or_name: str,
    symbol: str | None,
    fingerprint: str,
    as_json: bool,
    broker: str | None,
    realm: int | None,
    wait: float,
) -> int:
    """Show services, methods and messages of TYPE, or one of them.

    TYPE is an actor type or the name of a published service. It need not be running: the broker keeps what was
    published. Of names, as much of their end is enough as says which one is meant.

    \b
    Examples:
      actr describe acme+StreamEchoServer
      actr describe acme+StreamEchoServer RegisterStream
      actr describe stream-register-server-python --json
    """
    from actrzmq.cli.picking import target

    actor_type, name = target(type_or_name)

    async def main(visitor: Visitor) -> None:
        published = await visitor.describe(actor_type, name, fingerprint)
        _show(published, symbol, as_json)

    return run_visit(main, broker, realm, wait)


def _show(published: Published, symbol: str | None, as_json: bool) -> None:
    from actrzmq.codegen.comments import outlines_of
    from actrzmq.contracts.prototext import outline_text

    assert published.contract is not None  # it was asked for
    outlines = outlines_of(published.contract)
    if symbol is not None:
        _show_symbol(symbol, str(published.actor_type), outlines, as_json)
    elif as_json:
        show_json({**_facts(published), "files": outlines})
    else:
        head = [
            f"{published.actor_type} · {published.name}"
            + (f": {published.description}" if published.description else ""),
            f"{published.fingerprint}, published {published.published_at}, live instances: {published.live}",
        ]
        if published.tags:
            head.append(f"tags: {', '.join(published.tags)}")
        texts = ["\n".join(f"// {one_line(line)}" for line in head), *map(outline_text, outlines)]
        click.echo(printable("\n\n".join(filter(None, texts))))


def _facts(published: Published) -> dict[str, object]:
    return {
        "name": published.name,
        "actor_type": str(published.actor_type),
        "realm": published.realm,
        "fingerprint": published.fingerprint,
        "description": published.description,
        "tags": published.tags,
        "published_at": published.published_at,
        "live": published.live,
    }


def _show_symbol(symbol: str, actor_type: str, outlines: Sequence[Outline], as_json: bool) -> None:
    from actrzmq.cli.picking import pick
    from actrzmq.contracts import prototext
    from actrzmq.contracts.outline import Message, Method, Service

    known: dict[str, tuple[str, Declared]] = {}
    for file in outlines:
        for service in file.services:
            known[service.name] = ("service", service)
            known |= {method.route_key: ("method", method) for method in service.methods}
        known |= {message.name: ("message", message) for message in file.all_messages()}
        known |= {enum.name: ("enum", enum) for enum in file.all_enums()}
    kind, declared = known[pick(symbol, known, f"names in the contract of {actor_type}")]
    # A method is of little use without what goes in and what comes out.
    around = (declared.request, declared.response) if isinstance(declared, Method) else ()
    messages = [known[name][1] for name in dict.fromkeys(around) if name in known]
    if as_json:
        show_json({"kind": kind, kind: declared, **({"messages": messages} if messages else {})})
        return
    texts = []
    for one in (declared, *messages):
        if isinstance(one, Method):
            texts.append(f"// {one.route_key}\n{prototext.method_text(one)}")
        elif isinstance(one, Service):
            texts.append(prototext.service_text(one))
        elif isinstance(one, Message):
            texts.append(prototext.message_text(one))
        else:
            texts.append(prototext.enum_text(one))
    click.echo(printable("\n\n".join(texts)))
