"""Registries: whatever a study can name is one record, found by its name.

A registry holds Paretune's own records, those that installed packages offer by entry points, and
those that a file of the user's registers. The code that uses records asks the registry; it has no
list of names of its own.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, Protocol, TypeVar

from paretune.spaces.errors import SpaceError

_LOG = logging.getLogger("paretune")

Reference = str | Callable[..., Any]
"""A function, or ``module:function`` for one that is imported when it is used."""


def resolve(reference: Reference) -> Any:
    """Return what a reference stands for.

    Raises:
        SpaceError: If the text is not ``module:attribute``, or the module has no such attribute.
        ImportError: If the module cannot be imported.
    """
    if not isinstance(reference, str):
        return reference
    module, separator, attribute = reference.partition(":")
    if not separator:
        raise SpaceError(f"a reference is written MODULE:FUNCTION; got {reference!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except AttributeError:
        raise SpaceError(f"{reference!r}: the module {module} has no {attribute!r}") from None


class Named(Protocol):
    """A record: a value with a name."""

    @property
    def name(self) -> str:
        """The name in study files, and in everything that is kept."""


Record = TypeVar("Record", bound=Named)


class Registry(Generic[Record]):
    """Records of one kind by name: Paretune's own first, then those of other packages.

    Nothing is imported before the first question. Entry points are then read once; one that cannot
    be loaded, or that takes the name of one of Paretune's own records, is left out with a warning.

    Args:
        kind: What one is called in messages, such as ``runtime``.
        group: The group of entry points, such as ``paretune.runtimes``. Each entry point names a
            record.
        own: References to Paretune's own records, in the order in which they are listed.
    """

    def __init__(self, kind: str, group: str, own: Sequence[str]) -> None:
        self.kind = kind
        self.group = group
        self._own = tuple(own)
        self._protected: frozenset[str] = frozenset()
        self._records: dict[str, Record] | None = None

    def get(self, name: str) -> Record:
        """Return the record of a name.

        Raises:
            SpaceError: If there is none; the message lists the names there are.
        """
        found = self._all().get(name) if isinstance(name, str) else None
        if found is None:
            raise SpaceError(f"{self.kind} must be one of {', '.join(self._all())}; got {name!r}")
        return found

    def register(self, record: Record) -> Record:
        """Add a record in this process, and return it; a record of the same name is replaced.

        For tests and notebooks, and for the files that a study names in ``plugins``: those are
        loaded in each process that needs them.

        Raises:
            SpaceError: If the name is that of one of Paretune's own records.
        """
        records = self._all()
        if record.name in self._protected:
            raise SpaceError(
                f"the {self.kind} {record.name!r} is one of Paretune's own; choose another name"
            )
        records[record.name] = record
        return record

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Let records be registered within, and forget them afterwards: for tests."""
        before = dict(self._all())
        try:
            yield
        finally:
            self._records = before

    @property
    def names(self) -> tuple[str, ...]:
        """All names, Paretune's own first."""
        return tuple(self._all())

    def __contains__(self, name: object) -> bool:
        return name in self._all()

    def __iter__(self) -> Iterator[Record]:
        return iter(tuple(self._all().values()))

    def _all(self) -> dict[str, Record]:
        if self._records is None:
            own: list[Record] = [resolve(reference) for reference in self._own]
            records = {record.name: record for record in own}
            self._protected = frozenset(records)
            for point in entry_points(group=self.group):
                record = self._loaded(point)
                if record is not None:
                    records.setdefault(record.name, record)
            self._records = records
        return self._records

    def _loaded(self, point: EntryPoint) -> Record | None:
        try:
            record: Record = point.load()
            name = record.name
        except Exception as error:
            _LOG.warning(
                "the %s %r of the entry points %s cannot be loaded (%s: %s)",
                self.kind,
                point.name,
                self.group,
                type(error).__name__,
                error,
            )
            return None
        if name in self._protected:
            _LOG.warning(
                "%s offers a %s %r, which is the name of one of Paretune's own: it is left out",
                point.value,
                self.kind,
                name,
            )
            return None
        return record
