"""The floors: a module imports from below, and each library stays on the floor that it belongs to."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import actrzmq

ROOT = Path(actrzmq.__file__).parent

FLOORS = {
    "_version": 0,
    "errors": 0,
    "identity": 0.5,
    "wire": 1,
    "core": 2,
    "contracts": 2,
    "net": 3,
    "observe": 3,
    "manifest": 3,
    "supervision": 3,
    "runtime": 4,
    "brokerd": 4,
    "codegen": 4,
    "install": 4.2,  # reads .proto files by the means of codegen
    "testing": 4.5,  # may use all but the command line, and nothing uses it
    "cli": 5,
    "__init__": 6,  # names what is public
}
"""Which floor a package or module of `actrzmq` is on."""

AT_HOME = {
    "zmq": {"net"},
    "asyncio": {"net", "runtime", "testing", "cli"},
    "google": {"runtime", "contracts", "codegen", "install"},
    "tomli": {"manifest"},
    "click": {"cli"},
    "rich": {"cli"},
    "tomlkit": {"cli", "install"},
    "grpc_tools": {"codegen"},
}
"""Where each library may be imported."""

WORLDLY = {"asyncio", "zmq", "time", "random", "os", "logging", "threading", "socket", "subprocess"}
"""What `wire` and `core` must not know of."""

FOR_DEVELOPERS = ("grpc_tools", "click", "rich", "tomlkit")
"""What the command needs, and a running node must not load."""

MODULES = sorted(path.relative_to(ROOT) for path in ROOT.rglob("*.py") if "generated" not in path.parts)


def package_of(module: Path) -> str:
    """The part of `actrzmq` that `module` belongs to."""
    return module.parts[0].removesuffix(".py")


def imports(module: Path) -> Iterator[str]:
    """The dotted names that `module` imports when it runs: what is only for the type checker does not count."""
    tree = ast.parse((ROOT / module).read_text())
    for node in walk_at_run_time(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: a relative import"
            yield node.module or ""
            if node.module == "actrzmq":
                yield from (f"actrzmq.{alias.name}" for alias in node.names if alias.name != "__version__")


def walk_at_run_time(node: ast.AST) -> Iterator[ast.AST]:
    """All below `node`, without what stands under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            for other in child.orelse:
                yield other
                yield from walk_at_run_time(other)
            continue
        yield child
        yield from walk_at_run_time(child)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_down_only(module: Path) -> None:
    package = package_of(module)
    for name in imports(module):
        if not name.startswith("actrzmq."):
            continue
        other = name.split(".")[1]
        assert other in FLOORS, f"{module} imports {name}, which is on no floor"
        assert other == package or FLOORS[other] < FLOORS[package], f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_libraries_stay_where_they_belong(module: Path) -> None:
    package = package_of(module)
    for name in imports(module):
        library = name.split(".")[0]
        assert package in AT_HOME.get(library, {package}), f"{module} imports {name}"


@pytest.mark.parametrize("module", [one for one in MODULES if package_of(one) in ("wire", "core")], ids=str)
def test_what_decides_knows_nothing_of_the_world(module: Path) -> None:
    assert not {name.split(".")[0] for name in imports(module)} & WORLDLY


@pytest.mark.parametrize("module", ["actrzmq", "actrzmq.runtime.node", "actrzmq.brokerd.main"])
def test_a_running_process_loads_nothing_that_only_developers_need(module: str) -> None:
    program = (
        f"import sys, importlib; module = importlib.import_module({module!r}); "
        "[getattr(module, name) for name in getattr(module, '__all__', ())]; "
        f"print(*[name for name in {FOR_DEVELOPERS!r} if name in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout.split() == []
