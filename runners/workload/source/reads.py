"""What a piece of code reads: names, imports, texts and attributes of the workload."""

from __future__ import annotations

import ast
from collections.abc import Sequence

_IMPORTERS = ("import_module", "__import__")
_BY_NAME = ("exec", "eval", "globals")
"""Built-ins that can reach any name of a module."""

_UNSEEN = ("__subclasses__", "pkgutil", "entry_points")
"""Names whose use finds code that no name in the source leads to."""


class Reads(ast.NodeVisitor):
    """Collects what a syntax tree reads, functions inside included.

    A local variable that has the name of a global one counts as that: too much is read, never too
    little.

    Args:
        node: The tree.

    Attributes:
        names: Dotted names, as tuples: ``torch.nn.Linear`` is ``("torch", "nn", "Linear")``.
        imports: Number of leading dots, module, name (empty for ``import x``) and local name of
            each import inside.
        texts: All constant strings.
        inherited: The attributes of ``super()``.
        is_dynamic: Whether it may reach any name of its module.
        is_unseen: Whether it may reach any module of its package.
    """

    def __init__(self, node: ast.AST) -> None:
        self.names: set[tuple[str, ...]] = set()
        self.imports: set[tuple[int, str, str, str]] = set()
        self.texts: set[str] = set()
        self.inherited: set[str] = set()
        self.is_dynamic = False
        self.is_unseen = False
        self.visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        """Read a name."""
        self._name([node.id])

    def visit_Attribute(self, node: ast.Attribute) -> None:
        """Read a dotted name, or an attribute of something else."""
        chain, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            chain.append(value.attr)
            value = value.value
        if isinstance(value, ast.Name):
            self._name([value.id, *reversed(chain)])
            return
        self.is_unseen |= bool(set(chain) & set(_UNSEEN))
        function = value.func if isinstance(value, ast.Call) else None
        if isinstance(function, ast.Name) and function.id == "super":
            self.inherited.add(chain[-1])
        self.visit(value)

    def visit_Import(self, node: ast.Import) -> None:
        """Read imported modules."""
        for alias in node.names:
            local = alias.asname or alias.name.partition(".")[0]
            module = alias.name if alias.asname else local
            self.imports |= {(0, module, "", local), (0, alias.name, "", "")}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        """Read imported names."""
        for alias in node.names:
            local = alias.asname or alias.name
            self.imports.add((node.level, node.module or "", alias.name, local))

    def visit_Constant(self, node: ast.Constant) -> None:
        """Read a text."""
        if isinstance(node.value, str):
            self.texts.add(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        """Read a call; one that imports a module by a text is an import."""
        function = node.func
        called = function.id if isinstance(function, ast.Name) else None
        if isinstance(function, ast.Attribute):
            called = function.attr
        if called in _IMPORTERS:
            given = node.args[0] if node.args else None
            if isinstance(given, ast.Constant) and isinstance(given.value, str):
                dots = len(given.value) - len(given.value.lstrip("."))
                self.imports.add((dots, given.value.lstrip("."), "", ""))
            else:
                self.is_unseen = True
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        """Read a function; one that sees every subclass reads code that nothing here names."""
        self.is_unseen |= node.name == "__init_subclass__"
        self.generic_visit(node)

    def _name(self, path: Sequence[str]) -> None:
        self.is_dynamic |= len(path) == 1 and path[0] in _BY_NAME
        self.is_unseen |= bool(set(path) & set(_UNSEEN))
        self.names.add(tuple(path))
