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

GAP = 2
"""Blanks between two columns."""

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


def show_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    styles: Styles | None = None,
    *,
    whole: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table: in colours and folded to its width on a terminal, else one line a row, with nothing cut off.

    On a narrow terminal the columns `spare` are left out, the first of them first, and those of `whole` never folded.
    """
    cells = [[one_line(str(cell)) or "-" for cell in row] for row in rows]
    if on_terminal():
        click.echo(_for_people(columns, cells, styles or {}, whole, spare))
    else:
        click.echo(_aligned(columns, cells))


def on_terminal() -> bool:
    """Does a person read this, on something that can show it?"""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb"


def _aligned(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[column.upper() for column in columns], *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def _for_people(
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    styles: Styles,
    whole: Sequence[str],
    spare: Sequence[str],
) -> str:
    import io
    import shutil

    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    widths = {
        column: max(map(cell_len, (column, *(row[number] for row in rows)))) for number, column in enumerate(columns)
    }
    width = shutil.get_terminal_size().columns
    shown = _that_fit(widths, width, spare)
    if whole:
        # What is not folded has to have its place, even where the terminal then breaks the line.
        width = max(width, _line_width([widths[one] if one in whole else len(one) for one in shown]))
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column in shown:
        table.add_column(column.upper(), overflow="fold", no_wrap=column in whole)
    for row in rows:
        # As Text: what is in a cell may look like rich's markup and is none.
        table.add_row(
            *(
                Text(cell, styles.get(column, {}).get(cell, ""))
                for column, cell in zip(columns, row, strict=True)
                if column in shown
            )
        )
    out = io.StringIO()
    # See https://no-color.org
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    Console(file=out, force_terminal=True, color_system=colours, width=width, highlight=False).print(table)
    return out.getvalue().rstrip("\n")


def _that_fit(widths: Mapping[str, int], width: int, spare: Sequence[str]) -> list[str]:
    """The columns of those widths, without as many of `spare` as must go for a line to have place in `width`."""
    shown = list(widths)
    for column in spare:
        if _line_width([widths[one] for one in shown]) <= width:
            break
        shown.remove(column)
    return shown


def _line_width(widths: Sequence[int]) -> int:
    return sum(widths) + GAP * (len(widths) - 1)
