"""Where modules come from: the user's own files, wherever they lie, or installed libraries."""

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path

from paretune.runners.workload.source.module import SourceModule

_INSTALLED = ("site-packages", "dist-packages")
_OWN = "paretune"


class Modules:
    """The user's modules: all that neither Python nor an installed distribution brings.

    So a package installed with ``pip install -e`` is the user's. Nothing is imported to find out.
    """

    def __init__(self) -> None:
        self._known: dict[str, SourceModule | None] = {}
        self._is_library: dict[str, bool] = {}

    def get(self, name: str) -> SourceModule | None:
        """Return a module of the user's by its dotted name; ``None`` if there is none."""
        if name not in self._known:
            self._known[name] = self._read(name)
        return self._known[name]

    def longest(self, dotted: str) -> SourceModule | None:
        """Return the user's module that the longest beginning of a dotted name is."""
        parts = dotted.split(".")
        if parts[0] not in self._is_library:
            self._is_library[parts[0]] = is_library(parts[0])
        if self._is_library[parts[0]]:
            return None
        for end in range(len(parts), 0, -1):
            if (found := self.get(".".join(parts[:end]))) is not None:
                return found
        return None

    def _read(self, name: str) -> SourceModule | None:
        if not name or is_library(name):
            return None
        path = _file_of(name)
        if path is None:
            return None
        with suppress(OSError, SyntaxError, ValueError):
            return SourceModule(name, path)
        return None


def is_library(name: str) -> bool:
    """Return whether a module belongs to Python, to Paretune or to an installed distribution."""
    top = name.partition(".")[0]
    if top in sys.stdlib_module_names or top == _OWN:
        return True
    places = _places(top)
    return not places or all(set(_INSTALLED) & set(place.parts) for place in places)


def versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of libraries by the names of their modules.

    What was installed from a folder or a repository may change without a new version: of that, the
    list of its files is part of the version.
    """
    tops = {name.partition(".")[0] for name in names}
    return {
        top: _version(top) for top in sorted(tops) if top not in {*sys.stdlib_module_names, _OWN}
    }


def python_version() -> str:
    """Return the version of Python, as far as code may give something else with another."""
    return ".".join(map(str, sys.version_info[:2]))


@cache
def _version(top: str) -> str:
    distribution = None
    for name in (top, *_distributions(top)):
        with suppress(importlib.metadata.PackageNotFoundError):
            distribution = importlib.metadata.distribution(name)
            break
    if distribution is None:
        return "missing" if not _places(top) else "unknown"
    if distribution.read_text("direct_url.json") is None:
        return distribution.version
    files = distribution.read_text("RECORD") or ""
    return f"{distribution.version} {hashlib.sha256(files.encode()).hexdigest()[:16]}"


def _distributions(top: str) -> Iterable[str]:
    """Yield the distributions that bring a module of another name; it takes a while to look."""
    yield from _all_distributions().get(top, ())


@cache
def _all_distributions() -> dict[str, list[str]]:
    return dict(importlib.metadata.packages_distributions())


def _places(top: str) -> list[Path]:
    """Return where a module without dots lies: its file, or the folders of its package."""
    spec = _spec(top)
    if spec is None:
        return []
    if spec.origin not in (None, "namespace", "built-in", "frozen"):
        return [Path(str(spec.origin)).resolve()]
    return [Path(each).resolve() for each in spec.submodule_search_locations or ()]


def _spec(name: str) -> importlib.machinery.ModuleSpec | None:
    known = sys.modules.get(name)
    if known is not None and (spec := getattr(known, "__spec__", None)) is not None:
        found: importlib.machinery.ModuleSpec = spec
        return found
    if "." in name:
        return None
    with suppress(ImportError, ValueError, AttributeError):
        return importlib.util.find_spec(name)
    return None


def _file_of(name: str) -> Path | None:
    """Return a module's Python file; its parent packages are not imported to find it."""
    spec = _spec(name)
    if spec is not None:
        origin = Path(str(spec.origin))
        return origin if spec.origin and origin.suffix == ".py" and origin.is_file() else None
    parent, _, last = name.rpartition(".")
    for folder in _folders(parent) if parent else ():
        for path in (folder / last / "__init__.py", folder / f"{last}.py"):
            if path.is_file():
                return path
    return None


def _folders(package: str) -> list[Path]:
    """Return the folders of a package's modules."""
    spec = _spec(package)
    if spec is not None:
        return [Path(each) for each in spec.submodule_search_locations or ()]
    parent, _, last = package.rpartition(".")
    return [folder / last for folder in _folders(parent)] if parent else []
