"""A module of the user's: its top-level statements, and the names that they bind."""

from __future__ import annotations

import ast
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from types import CodeType

_HARMLESS = {*sys.stdlib_module_names, "numpy", "torch"}
"""Libraries whose decorators register nothing."""

_BUILT_IN = ("property", "staticmethod", "classmethod")
_COMPOUND = (ast.If, ast.For, ast.While, ast.Try, ast.With, ast.Match)
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)

Bindings = dict[str, list[ast.stmt]]
"""The statements that bind or change each name of a scope."""


class SourceModule:
    """A parsed file, without its comments, docstrings and ``if __name__ == "__main__"``.

    Args:
        name: Its dotted name.
        path: The file.

    Attributes:
        body: Its statements.
        bound: The statements that bind each of its names.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path
        self._tree = ast.parse(path.read_bytes())
        _drop_docstrings(self._tree)
        self.body = [each for each in self._tree.body if not _is_script(each)]
        self.bound = bindings(self.body)

    @property
    def is_package(self) -> bool:
        """Whether it is the ``__init__.py`` of a package."""
        return self.path.name == "__init__.py"

    def absolute(self, level: int, name: str | None) -> str:
        """Return the dotted name of a module that it imports with so many leading dots."""
        if not level:
            return name or ""
        parts = self.name.split(".")
        parts = parts[: len(parts) - level + self.is_package]
        return ".".join([*parts, *([name] if name else [])])

    def imports(self) -> Iterator[tuple[str, str]]:
        """Yield module and name of each import when it is loaded; ``import x`` has no name."""
        for node in _outer(self.body):
            if isinstance(node, ast.Import):
                yield from ((alias.name, "") for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                module = self.absolute(node.level, node.module)
                yield from ((module, alias.name) for alias in node.names)

    def stars(self) -> list[str]:
        """Return the modules from which it imports all names."""
        return [module for module, name in self.imports() if name == "*"]

    def effects(self) -> list[ast.stmt]:
        """Return the statements that may do something beyond binding names."""
        return [each for each in self.body if self._has_effect(each)]

    def registered(self) -> Iterator[tuple[str, ast.stmt]]:
        """Yield the definitions whose decorators may register them, with the decorators' names."""
        for each in self.body:
            if isinstance(each, _SCOPES[:3]):
                for decorator in each.decorator_list:
                    if not self._is_harmless(decorator):
                        yield _root(decorator), each

    def named(self, qualified: str) -> ast.ClassDef | None:
        """Return the definition of a class by its qualified name."""
        outer, *rest = qualified.split(".")
        places: list[ast.AST] = list(self.bound.get(outer, ()))
        for name in [outer, *(each for each in rest if each != "<locals>")]:
            inside = (node for place in places for node in ast.walk(place))
            places = [n for n in inside if isinstance(n, _SCOPES[:3]) and n.name == name]
        return next((each for each in reversed(places) if isinstance(each, ast.ClassDef)), None)

    def functions(self, code: CodeType) -> list[ast.AST]:
        """Return the functions that a code object may come from: one, if its place says which."""
        here = [node for node in self._functions if _first_line(node) == code.co_firstlineno]
        if code.co_name != "<lambda>":
            return [node for node in here if getattr(node, "name", None) == code.co_name]
        lambdas = [node for node in here if isinstance(node, ast.Lambda)]
        spans = [
            ((line, column), (end_line, end_column))
            for line, end_line, column, end_column in code.co_positions()
            if line is not None
            and end_line is not None
            and column is not None
            and end_column is not None
            and (line, column) < (end_line, end_column)
        ]
        if not spans:
            return list(lambdas)
        span = min(start for start, _ in spans), max(end for _, end in spans)
        return [node for node in lambdas if _span(node.body) == span] or list(lambdas)

    @cached_property
    def _functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda]:
        return [node for node in ast.walk(self._tree) if isinstance(node, _FUNCTIONS)]

    def _has_effect(self, statement: ast.stmt) -> bool:
        if isinstance(statement, _SCOPES):
            return False
        if isinstance(statement, ast.Expr | ast.Delete):
            return True
        names = bound_names(statement)
        if isinstance(statement, _COMPOUND):
            return not names or any(isinstance(node, ast.Expr) for node in _outer([statement]))
        # `torch.backends.cudnn.enabled = False` changes what belongs to others.
        return "_" in names or bool(changed_names(statement) & self._imported_names)

    @cached_property
    def _imported_names(self) -> set[str]:
        kinds = (ast.Import, ast.ImportFrom)
        return {n for n, found in self.bound.items() if any(isinstance(s, kinds) for s in found)}

    def _is_harmless(self, decorator: ast.expr) -> bool:
        name = _root(decorator)
        sources = self.bound.get(name)
        if sources is None:
            return name in _BUILT_IN
        tops = {
            alias.name.partition(".")[0] if isinstance(each, ast.Import) else each.module or ""
            for each in sources
            if isinstance(each, ast.Import | ast.ImportFrom)
            for alias in each.names
        }
        return bool(tops) and all(top.partition(".")[0] in _HARMLESS for top in tops)


def bindings(body: Iterable[ast.stmt]) -> Bindings:
    """Return the statements that bind or change each name, in order."""
    found: Bindings = defaultdict(list)
    for statement in body:
        for name in bound_names(statement) | changed_names(statement):
            found[name].append(statement)
    return dict(found)


def bound_names(statement: ast.stmt) -> set[str]:
    """Return the names that a statement binds in its own scope."""
    found: set[str] = set()
    for node in _outer([statement]):
        if isinstance(node, _SCOPES[:3]):
            found.add(node.name)
        elif isinstance(node, ast.Import):
            found |= {alias.asname or alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names} - {"*"}
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
    return found


def changed_names(statement: ast.stmt) -> set[str]:
    """Return the names whose objects a statement changes, as in ``NAME["x"] = 1``."""
    found: set[str] = set()
    for node in _outer([statement]):
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            base: ast.expr = node
            while isinstance(base, ast.Attribute | ast.Subscript):
                base = base.value
            if isinstance(base, ast.Name):
                found.add(base.id)
    return found


def _outer(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """Yield the nodes of some statements, without the inside of functions and classes."""
    todo = list(reversed(body))
    while todo:
        node = todo.pop()
        yield node
        if not isinstance(node, _SCOPES):
            todo += reversed(list(ast.iter_child_nodes(node)))


def _drop_docstrings(tree: ast.Module) -> None:
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, *_SCOPES[:3])):
            kept = [each for each in node.body if not _is_text(each)]
            node.body = kept or [ast.Pass()]


def _is_text(statement: ast.stmt) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


def _is_script(statement: ast.stmt) -> bool:
    """Tell whether a statement is run only if the file is a script."""
    return isinstance(statement, ast.If) and ast.unparse(statement.test) in (
        "__name__ == '__main__'",
        "'__main__' == __name__",
    )


def _root(node: ast.expr) -> str:
    """Return the first name of a dotted name or call; empty if it begins with something else."""
    while isinstance(node, ast.Call | ast.Attribute):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else ""


def _first_line(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> int:
    decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
    return min([node.lineno, *(each.lineno for each in decorators)])


def _span(node: ast.expr) -> tuple[tuple[int, int], tuple[int, int]]:
    end = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
    return (node.lineno, node.col_offset), end
