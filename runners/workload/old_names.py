"""Old import names: workloads that were written for the first edition still load.

The first edition was three packages, ``spaces``, ``runners`` and ``search``, and its workloads
import from ``runners``. Such a name is found here, but only if nothing else has it: a package of
that name next to the workload is the user's own.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

_NEW_NAMES = {
    "runners": "paretune",
    "runners.students": "paretune.runners.workload.students.scaled",
    "search": "paretune",
    "spaces": "paretune.spaces",
}

_HOME = Path(__file__).resolve().parents[2]


class OldNames(MetaPathFinder, Loader):
    """Finds the first edition's packages, unless something else has that name.

    It is first on ``sys.meta_path``: otherwise, in a checkout of this project, its rooms could be
    imported a second time under their old names.
    """

    @classmethod
    def install(cls) -> None:
        """Put it on ``sys.meta_path``, once."""
        if not any(isinstance(finder, cls) for finder in sys.meta_path):
            sys.meta_path.insert(0, cls())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec for an old name, ``None`` for all others."""
        if fullname not in _NEW_NAMES:
            return None
        top = fullname.partition(".")[0]
        theirs = PathFinder.find_spec(top)
        ours = _HOME / top / "__init__.py"
        if theirs is not None and not (theirs.origin and Path(theirs.origin).resolve() == ours):
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def exec_module(self, module: ModuleType) -> None:
        """Fill the old module with the names of the new one."""
        new = _NEW_NAMES[module.__name__]
        warnings.warn(
            f"`{module.__name__}` is now called `{new}`: import from there",
            FutureWarning,
            stacklevel=2,
        )
        found = importlib.import_module(new)
        module.__getattr__ = lambda name: getattr(found, name)  # type: ignore[method-assign]
