"""What the source of a class says of it. It is read as text: importing a model would load torch."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

# What every model is written with; another import is the library that does the learning.
OWN_LIBRARIES = {"ltsi", "numpy", "scipy", "torch", "threadpoolctl"}
CONTRACT = "InterestModel"

_SOURCES = re.compile(r"^Sources?:\s*(.+?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
_ARGS = re.compile(r"^Args:\n(.+?)(?:\n\n|\Z)", re.MULTILINE | re.DOTALL)
_ARG = re.compile(r"^    (\w+): (.+?)(?=\n    \w|\Z)", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class ClassFacts:
    """A class and the classes of this package that it is made from.

    Args:
        lineage: Module and class, the class itself first; the contract of all models is left out.
    """

    lineage: tuple[tuple[ast.Module, ast.ClassDef], ...]

    @property
    def about(self) -> str:
        """The docstring of the class, up to its arguments, in one paragraph a line."""
        text = (ast.get_docstring(self.lineage[0][1]) or "").partition("\nArgs:")[0]
        return "\n".join(_one_line(paragraph) for paragraph in text.strip().split("\n\n"))

    @property
    def source(self) -> str | None:
        """The papers that the docstring of the module names, or None."""
        found = _SOURCES.search(ast.get_docstring(self.lineage[0][0]) or "")
        return _one_line(found[1]) if found else None

    @property
    def arguments(self) -> dict[str, str]:
        """What each argument is, by name; those of the class itself before those of its bases."""
        found: dict[str, str] = {}
        for _, node in self.lineage:
            args = _ARGS.search(ast.get_docstring(node) or "")
            for name, text in _ARG.findall(args[1]) if args else ():
                found.setdefault(name, _one_line(text))
        return found

    @property
    def learns_by(self) -> str:
        """How it learns: counts (or a library that does the counting), gradients, choice on the validation part."""
        libraries = sorted({name for module, _ in self.lineage for name in _libraries(module)})
        ways = [f"library {name}" for name in libraries]
        if not libraries and self._defines("fit_statistics"):
            ways.append("counts")
        if self._assigns("learns"):
            ways.append("gradients")
        if self._assigns("calibrates"):
            ways.append("choice on the validation part")
        return ", ".join(ways) or "nothing"

    def _defines(self, method: str) -> bool:
        return any(
            isinstance(child, ast.FunctionDef) and child.name == method
            for _, node in self.lineage
            for child in node.body
        )

    def _assigns(self, name: str) -> bool:
        """Tells whether a class or one of its methods gives an attribute a value other than False."""
        for _, node in self.lineage:
            for child in ast.walk(node):
                if isinstance(child, ast.Assign | ast.AnnAssign) and child.value is not None:
                    targets = child.targets if isinstance(child, ast.Assign) else [child.target]
                    false = isinstance(child.value, ast.Constant) and child.value.value is False
                    if not false and any(ast.unparse(target) in {name, f"self.{name}"} for target in targets):
                        return True
        return False


def read_class(path: str) -> ClassFacts:
    """Reads a class of this package.

    Args:
        path: Its full name, as `_target_` has it.

    Returns:
        The facts; without a class if it is none of this package.
    """
    return ClassFacts(tuple(_lineage(path)))


def _lineage(path: str) -> Iterator[tuple[ast.Module, ast.ClassDef]]:
    module_name, _, name = path.rpartition(".")
    if not module_name.startswith("ltsi.") or name == CONTRACT:
        return
    module = _parse(module_name)
    node = next((node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if node is None:
        return
    yield module, node
    imported = {
        alias.asname or alias.name: f"{child.module}.{alias.name}"
        for child in module.body
        if isinstance(child, ast.ImportFrom)
        for alias in child.names
    }
    for base in node.bases:
        # A generic base is written with its parameters.
        written = ast.unparse(base.value if isinstance(base, ast.Subscript) else base)
        yield from _lineage(imported.get(written, f"{module_name}.{written}"))


@cache
def _parse(module: str) -> ast.Module:
    package, *parts = module.split(".")
    file = files(package).joinpath(*parts[:-1], f"{parts[-1]}.py")
    return ast.parse(file.read_text(encoding="utf-8")) if file.is_file() else ast.Module([], [])


def _libraries(module: ast.Module) -> Iterator[str]:
    for child in module.body:
        names = [alias.name for alias in child.names] if isinstance(child, ast.Import) else []
        names += [child.module or ""] if isinstance(child, ast.ImportFrom) else []
        for root in (name.partition(".")[0] for name in names):
            if root not in OWN_LIBRARIES and root not in sys.stdlib_module_names:
                yield root


def _one_line(text: str) -> str:
    return " ".join(inspect.cleandoc(text).split())
