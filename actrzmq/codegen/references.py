"""How one generated file refers to what others define: import statements, and names behind them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from actrzmq.codegen.model import Root, TypeRef
from actrzmq.contracts.wellknown import WELL_KNOWN


class Imports:
    """The modules of one generated file's imports, each under a name of its own.

    All are relative: a generated package may be imported under any name and from anywhere.
    """

    def __init__(self, package: Sequence[str]) -> None:
        self._package = tuple(package)
        self._names: dict[tuple[str, str], str] = {}
        self._taken: set[str] = set()

    def apart(self) -> Imports:
        """Imports of the same file that stand elsewhere in it: no name has two meanings."""
        others = Imports(self._package)
        others._taken = self._taken
        return others

    def module(self, package: Sequence[str], name: str, called: str | None = None) -> str:
        """What `name` of the generated `package` is called here: `called`, or else as it is there."""
        return self._call(self._relative(tuple(package)), name, called or name)

    def absolute(self, package: str, name: str, called: str | None = None) -> str:
        """What `name` of `package`, one that is not generated, is called here."""
        return self._call(package, name, called or name)

    def lines(self) -> list[str]:
        """The import statements, in blocks: the standard library, other packages, generated modules."""
        blocks: dict[int, list[str]] = {}
        for package in sorted({package for package, _ in self._names}):
            blocks.setdefault(_block_of(package), []).append(self._line(package))
        lines: list[str] = []
        for _, block in sorted(blocks.items()):
            lines += ["", *block] if lines else block
        return lines

    def _line(self, package: str) -> str:
        names = sorted(
            name if name == called else f"{name} as {called}"
            for (origin, name), called in self._names.items()
            if origin == package
        )
        return f"from {package} import {', '.join(names)}"

    def _call(self, package: str, name: str, called: str) -> str:
        known = self._names.get((package, name))
        if known is None:
            while called in self._taken:
                called += "_"
            self._taken.add(called)
            known = self._names[package, name] = called
        return known

    def _relative(self, package: tuple[str, ...]) -> str:
        shared = 0
        while shared < min(len(package), len(self._package)) and package[shared] == self._package[shared]:
            shared += 1
        return "." * (len(self._package) - shared + 1) + ".".join(package[shared:])


class References:
    """How one generated file refers to message types."""

    def __init__(self, root: Root, imports: Imports, hints: Imports | None = None) -> None:
        self._root = root
        self._imports = imports
        self._hints = hints or imports

    def value(self, ref: TypeRef) -> str:
        """An expression for the class, as it is at run time."""
        module = self._root.module_of(ref.path)
        if module is None or ref.attribute is None:
            # Also well-known types: those of a private pool are other classes than protobuf's modules hold.
            return f'{files_of(self._imports, self._root)}.message("{ref.full_name}")'
        return f"{self._imports.module(module.package, module.name)}.{ref.attribute}"

    def hint(self, ref: TypeRef) -> str:
        """The type, for annotations."""
        module = self._root.module_of(ref.path)
        if ref.attribute is None or (module is None and ref.path not in WELL_KNOWN):
            return self._hints.absolute("google.protobuf.message", "Message")
        if module is None:
            package, _, name = WELL_KNOWN[ref.path].rpartition(".")
            return f"{self._hints.absolute(package, name)}.{ref.attribute}"
        return f"{self._imports.module(module.package, module.name)}.{ref.attribute}"


def files_of(imports: Imports, root: Root) -> str:
    """What the descriptors of `root` are called where `imports` stand."""
    return imports.module((*root.package, "_descriptors"), "FILES", "_files")


def _block_of(package: str) -> int:
    if package.startswith("."):
        return 2
    return 0 if package.split(".", maxsplit=1)[0] in sys.stdlib_module_names else 1
