"""The line of an import is found, and looking for it takes no longer than the source is long."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actrzmq.contracts.complete import where_imported

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "statement",
    [
        'import "b.proto";',
        "import 'b.proto';",
        ' \timport\tpublic  "b.proto";',
        'import weak "b.proto";',
        'import\n  "b.proto";',
    ],
)
def test_an_import_is_found_by_its_line(statement: str) -> None:
    source = f'syntax = "proto3";\n// import "b.proto"\n\n\nimport "a.proto";\n{statement}\nimport "b.proto";\n'
    line = 6 + statement.count("\n")
    assert where_imported("x.proto", source, "b.proto") == f"x.proto:{line}"


def test_what_is_not_imported_in_plain_words_is_named_by_its_file_alone() -> None:
    assert where_imported("x.proto", 'import "b\\056proto";', "b.proto") == "x.proto"


LOOKING = """
import sys
from actrzmq.codegen.loose import _imports
from actrzmq.contracts.complete import where_imported

piece = sys.argv[1].encode().decode("unicode_escape")
text = piece * (4_000_000 // len(piece))
for source in (";" + text, "import \\"" + text):
    where_imported("x.proto", source, "b.proto")
    list(_imports(source))
"""


@pytest.mark.parametrize("piece", [r"\n", " ", r" \r\n", "import ", r"import\n", '"', 'import "', "; "])
def test_four_megabytes_of_anything_are_looked_through_in_one_go(piece: str) -> None:
    # One step for each pair of letters would take days: the bound tells these apart, and no more.
    subprocess.run([sys.executable, "-c", LOOKING, piece], check=True, timeout=60, cwd=REPOSITORY)
