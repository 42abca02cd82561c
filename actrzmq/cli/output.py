"""What commands print: tables for people, aligned text for pipes, JSON for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import click
import msgspec

from actrzmq.cli.exits import one_line

Styles = Mapping[str, Mapping[str, str]]
"""Colours: by column, by what a cell says."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def show_json(value: Any) -> None:
    """Print `value` as one JSON document."""
    show_json_text(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def show_json_line(value: Any) -> None:
    """Print `value` as one line of JSON, at once: more will follow."""
    show_json_text(msgspec.json.encode(value).decode())


def show_json_text(text: str) -> None:
    """Print JSON, with everything in its strings spelled out that a terminal might obey."""
    click.echo("".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[object]], styles: Styles | None = None) -> None:
    """Print a table: in colours and folded to its width on a terminal, else one line a row, with nothing cut off."""
    cells = [[one_line(str(cell)) or "-" for cell in row] for row in rows]
    click.echo(_for_people(columns, cells, styles or {}) if on_terminal() else _aligned(columns, cells))


def on_terminal() -> bool:
    """Does a person read this, on something that can show it?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[column.upper() for column in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _for_people(columns: Sequence[str], rows: Sequence[Sequence[str]], styles: Styles) -> str:
    import io
    import shutil

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column.upper(), overflow="fold")
    for row in rows:
        # As Text: what is in a cell may look like rich's markup and is none.
        table.add_row(
            *(Text(cell, styles.get(column, {}).get(cell, "")) for column, cell in zip(columns, row, strict=True))
        )
    out = io.StringIO()
    width = shutil.get_terminal_size().columns
    # See https://no-color.org
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    Console(file=out, force_terminal=True, color_system=colours, width=width, highlight=False).print(table)
    return out.getvalue().rstrip("\n")
