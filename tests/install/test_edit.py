"""Editing a manifest: one line comes or goes, and every other byte stays."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actrzmq.errors import ActrConfigError
from actrzmq.install.edit import Addition, add_dependency, remove_dependency

WHERE = Path("Actr.toml")
ADDED = Addition("b.x", "acme+B", "bee")
LINE = '"b.x" = { name = "bee", actr_type = "acme+B" }'
PACKAGE = '[package]\nname = "x"\n'

LAYOUTS = {
    "commented": f"# top\n[dependencies] # mine\na = {{}}   # one\n{LINE}\n\n# about the package\n{PACKAGE}",
    "indented": f"{PACKAGE}[ dependencies ]\n  a = {{}}\n{LINE}\n# the end\n",
    "last": f"{PACKAGE}[dependencies]\na = {{}}\n{LINE}\n",
    "empty": f"[dependencies]\n{LINE}\n\n{PACKAGE}",
    "with tables below": f'[dependencies]\na = {{}}\n{LINE}\n[dependencies.c]\nname = "c"\n{PACKAGE}',
    "with an array in lines": f"{PACKAGE}tags = [\n  'a', # [dependencies]\n]\n[dependencies]\n{LINE}\n",
}
"""Manifests that have the line; without it, it is added just there."""


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_dependency_is_one_line_below_the_others(layout: str, end: str) -> None:
    text = LAYOUTS[layout].replace("\n", end)
    without = text.replace(LINE + end, "")
    assert add_dependency(without, ADDED, WHERE) == text
    assert remove_dependency(text, "b.x", WHERE) == without


def test_a_section_is_made_where_there_is_none() -> None:
    assert add_dependency(PACKAGE, ADDED, WHERE) == f"{PACKAGE}\n[dependencies]\n{LINE}\n"
    assert add_dependency(PACKAGE.rstrip(), Addition("b"), WHERE) == f"{PACKAGE}\n[dependencies]\nb = {{}}\n"


def test_a_file_without_a_last_line_end_stays_so() -> None:
    assert add_dependency("[dependencies]\na = {}", Addition("b"), WHERE) == "[dependencies]\na = {}\nb = {}"


def test_dotted_keys_stay_dotted() -> None:
    text = f"dependencies.a = {{}}\n{PACKAGE}"
    added = add_dependency(text, Addition("b", "acme+B"), WHERE)
    assert added == f'dependencies.a = {{}}\ndependencies.b = {{actr_type = "acme+B"}}\n{PACKAGE}'
    assert remove_dependency(added, "b", WHERE) == text


def test_what_can_not_be_edited_in_one_place_is_refused_with_the_line_to_add() -> None:
    with pytest.raises(ActrConfigError, match=r"add this line to its \[dependencies\] by hand: b = \{\}"):
        add_dependency(f"dependencies = {{ a = {{}} }}\n{PACKAGE}", Addition("b"), WHERE)


def test_a_dependency_with_a_table_of_its_own_is_removed_with_it() -> None:
    text = f'{PACKAGE}\n[dependencies.a]\nactr_type = "acme+A"\n[scripts]\nrun = "x"\n'
    assert remove_dependency(text, "a", WHERE) == f'{PACKAGE}\n[scripts]\nrun = "x"\n'


BITS = st.sampled_from(
    [
        "\n",
        "# [dependencies]\n",
        "[dependencies]\n",
        "a = {}\n",
        'c = { name = "c" } # c\n',
        "[dependencies.d]\n",
        "[[acl.rules]]\n",
        'x = """\n[dependencies]\n"""\n',
        "y = [\n  1,\n]\n",
        "dependencies.e = {}\n",
        "dependencies = {}\n",
        "[package]\n",
        "  ",
        "z = 1",
    ]
)


@settings(max_examples=500, deadline=None)
@given(st.lists(BITS, max_size=8).map("".join), st.sampled_from(["b", "a"]))
def test_whatever_the_layout_the_rest_stays_or_the_edit_is_refused(text: str, alias: str) -> None:
    try:
        before = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    declared = before.get("dependencies", {})
    if alias in declared or not all(isinstance(value, dict) for value in declared.values()):
        return
    try:
        added = add_dependency(text, Addition(alias, "acme+B"), WHERE)
        removed = remove_dependency(added, alias, WHERE)
    except ActrConfigError:
        return
    more = len(added) - len(text)
    assert any(added[:at] + added[at + more :] == text for at in range(len(text) + 1))
    after = tomllib.loads(added)
    assert after["dependencies"].pop(alias) == {"actr_type": "acme+B"}
    assert {"dependencies": {}, **after} == {"dependencies": {}, **before}
    assert {"dependencies": {}, **tomllib.loads(removed)} == {"dependencies": {}, **before}
