"""The closure of a piece of code: all of the user's code that it may run, wherever that lies."""

from __future__ import annotations

import ast
import hashlib
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from paretune.runners.workload.source.module import SourceModule
from paretune.runners.workload.source.modules import Modules, versions
from paretune.runners.workload.source.reads import Reads

Members = Mapping[str, Sequence[tuple[SourceModule, ast.stmt]]]
"""Where the user's classes define each attribute of the workload."""


class Closure:
    """Follows names from a piece of code through the user's modules to installed libraries.

    It reads source and runs nothing, so it is the same in every process. It takes in top-level
    statements one by one, so that what was added beside them changes nothing; from each module that
    is loaded it also takes the statements with effects, and the definitions that a decorator
    registers where the code may look them up. Where code finds other code by means that no name
    shows (``globals()``, ``__subclasses__``), it takes in the whole module or package.

    Args:
        modules: The user's modules.
        members: The attributes of the workload that its classes define.
        asked: Those of them that Paretune calls: code that is given the workload does not.

    Attributes:
        texts: The constant strings in the code, and those that were added.
        attributes: The names of the workload's attributes in the code.
    """

    def __init__(self, modules: Modules, members: Members, asked: Collection[str]) -> None:
        self.modules = modules
        self.texts: set[str] = set()
        self.attributes: set[str] = set()
        self._members = members
        self._asked = asked
        self._code: dict[str, str] = {}
        self._libraries: set[str] = set()
        self._seen: set[tuple[str, ...]] = set()
        self._reached: set[str] = set()
        self._is_unseen = False
        self._registered: dict[str, list[tuple[SourceModule, ast.stmt]]] = defaultdict(list)
        self._todo: deque[Callable[[], None]] = deque()

    def follow(self) -> list[tuple[str, str]]:
        """Follow all names, and return the digests of the code that they lead to, by its name."""
        while self._todo:
            self._todo.popleft()()
            if self._is_unseen and not self._todo:
                # What it imports may be put together of any text that it has.
                for text in sorted(self.texts):
                    if (named := self.modules.get(text.partition(".")[0])) is not None:
                        self._whole_package(named)
        return sorted(self._code.items())

    @property
    def libraries(self) -> dict[str, str]:
        """The versions of the libraries that the code uses, by module."""
        return versions(self._libraries)

    def library(self, name: str) -> None:
        """Add a library by the name of one of its modules."""
        self._libraries.add(name.partition(".")[0])
        self._reach(name.partition(".")[0])

    def code(self, module: SourceModule, label: str, node: ast.AST, owner: str | None) -> None:
        """Add a piece of code.

        Args:
            module: Where it lies.
            label: What it is called there.
            node: Its syntax tree.
            owner: The name that the workload has in it, such as ``self``.
        """
        if not self._is_new(module.name, "", "code", str(id(node))):
            return
        found = hashlib.sha256(ast.dump(node).encode()).hexdigest()
        name = f"{module.name}:{label}"
        self._code[f"{name}:{found[:8]}"] = found
        self._touch(module)
        reads = Reads(node)
        self.texts |= reads.texts
        if reads.is_unseen:
            self._is_unseen = True
            self._whole_package(module)
        if reads.is_dynamic:
            self._whole(module)
        local: dict[str, str] = {}
        for level, origin, imported, own in reads.imports:
            full = module.absolute(level, origin)
            self.use(full if imported in ("", "*") else f"{full}.{imported}", is_used=False)
            if own:
                local[own] = f"{full}.{imported}" if imported else full
        for inherited in reads.inherited if owner else ():
            self.member(inherited)
        for path in reads.names:
            if path[0] == owner:
                self._of_workload(path[1:])
            elif path[0] in local:
                self.use(".".join((local[path[0]], *path[1:])))
            else:
                self.name(module, path)

    def name(self, module: SourceModule, path: Sequence[str]) -> bool:
        """Add what a dotted name in a module stands for; tell whether the module has it."""
        statements = module.bound.get(path[0])
        if statements is None:
            if module.is_package and self.modules.get(f"{module.name}.{path[0]}"):
                self.use(".".join((module.name, *path)))
                return True
            if not self._is_new(module.name, "", "star", *path):  # two may import all of each other
                return True
            stars = [self.modules.get(each) for each in module.stars()]
            return any([each is not None and self.name(each, path) for each in stars])  # noqa: C419
        if not self._is_new(module.name, *path):
            return True
        for statement in statements:
            if isinstance(statement, ast.Import):
                for alias in statement.names:
                    if alias.asname == path[0]:
                        self.use(".".join((alias.name, *path[1:])))
                    elif not alias.asname and alias.name.partition(".")[0] == path[0]:
                        self.use(".".join(path))
            elif isinstance(statement, ast.ImportFrom):
                origin = module.absolute(statement.level, statement.module)
                for alias in statement.names:
                    if (alias.asname or alias.name) == path[0]:
                        self.use(".".join((origin, alias.name, *path[1:])))
            else:
                self._reach(module.name)
                self._later(self.code, module, path[0], statement, None)
        return True

    def member(self, name: str) -> None:
        """Add an attribute of the workload, if its classes define it."""
        for place, (module, statement) in enumerate(self._members.get(name, ())):
            if not self._is_new("", name, str(place)):
                continue
            owner: str | None = None
            outside: list[ast.AST] = [statement]  # what is evaluated in the class itself
            if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
                given = statement.args
                defaults = [each for each in (*given.defaults, *given.kw_defaults) if each]
                outside = [*defaults, *statement.decorator_list]
                arguments = [*given.posonlyargs, *given.args]
                is_static = any(ast.unparse(each) == "staticmethod" for each in outside)
                owner = arguments[0].arg if arguments and not is_static else None
            self._later(self.code, module, f"workload.{name}", statement, owner)
            for path in {path for node in outside for path in Reads(node).names}:
                self.member(path[0])

    def _of_workload(self, path: Sequence[str]) -> None:
        if path:
            self.member(path[0])
            self.attributes.add(path[0])
            return
        # It is given to other code, which may use anything.
        for name in self._members:
            if name not in self._asked:
                self.member(name)

    def use(self, dotted: str, *, is_used: bool = True) -> None:
        """Add what a dotted name from the top of all modules stands for."""
        module = self.modules.longest(dotted)
        if module is None:
            self.library(dotted)
            return
        self._touch(module)
        rest = dotted[len(module.name) + 1 :]
        if rest and self.name(module, rest.split(".")):
            return
        if is_used or rest:
            self._whole(module)

    def _touch(self, module: SourceModule) -> None:
        """Add the effects of loading a module, and of the modules that it loads."""
        if not self._is_new(module.name, "", "touched"):
            return
        for statement in module.effects():
            self._later(self.code, module, "", statement, None)
        for decorator, definition in module.registered():
            self._register(module, decorator, definition)
        self._later(self._add_registered)
        parent = module.name.rpartition(".")[0]
        loaded = {parent, *(m for m, _ in module.imports())}
        loaded |= {f"{origin}.{name}" for origin, name in module.imports() if name}
        for name in sorted(loaded):
            if (other := self.modules.get(name)) is not None:
                self._later(self._touch, other)

    def _register(self, module: SourceModule, decorator: str, definition: ast.stmt) -> None:
        """Add a definition once something else of the decorator's module is read."""
        origin = module.name
        for statement in module.bound.get(decorator, ()):
            if isinstance(statement, ast.Import):
                origin = statement.names[0].name
            elif isinstance(statement, ast.ImportFrom):
                origin = f"{module.absolute(statement.level, statement.module)}.{decorator}"
        place = self.modules.longest(origin)
        self._registered[place.name if place else origin.partition(".")[0]].append(
            (module, definition)
        )

    def _reach(self, name: str) -> None:
        """Note that something of a module is read: so may be what it has registered."""
        if name not in self._reached:
            self._reached.add(name)
            self._later(self._add_registered)

    def _add_registered(self) -> None:
        for name in self._reached & self._registered.keys():
            for module, definition in self._registered.pop(name):
                self._later(self.code, module, "registered", definition, None)

    def _whole(self, module: SourceModule) -> None:
        """Add a whole module."""
        if self._is_new(module.name, "", "whole"):
            for statement in module.body:
                if not isinstance(statement, ast.Import | ast.ImportFrom):
                    self._later(self.code, module, "*", statement, None)

    def _whole_package(self, module: SourceModule) -> None:
        """Add all files of a module's outermost package, or of its folder."""
        top = self.modules.get(module.name.partition(".")[0])
        root = top or module
        if not self._is_new(root.name, "", "package"):
            return
        folder = root.path.parent
        files = folder.rglob("*.py") if root.is_package else folder.glob("*.py")
        for file in sorted(files):
            name = file.relative_to(folder).as_posix()
            self._code[f"{root.name}/{name}"] = hashlib.sha256(file.read_bytes()).hexdigest()

    def _is_new(self, *what: str) -> bool:
        if what in self._seen:
            return False
        self._seen.add(what)
        return True

    def _later(self, call: Callable[..., None], *arguments: Any) -> None:
        """Postpone a step: chains of names can be longer than Python's stack."""
        self._todo.append(lambda: call(*arguments))
