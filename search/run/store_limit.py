"""The store's limit: removes files when the artifact store has grown too large."""

from __future__ import annotations

import logging

from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.pins import Pins
from paretune.runners.store.use import StoreUse
from paretune.search.confirm.plausible import plausible
from paretune.search.propose.cost import CostModel
from paretune.search.record.history import History

_LOOK_EVERY = 20
"""Trials between looks at the store's size, which take a call per file."""

_ROOM = 0.8
"""Share of the limit down to which files are removed, so that it is not reached at once again.
Chosen by judgement.
"""

_LOG = logging.getLogger("paretune")


def needed_files(history: History) -> set[str]:
    """Return the digests of the files that a study publishes, or may have to measure again.

    These are the files of the baseline and its answers, of the search's frontier, of the points
    that confirmation would measure, and of the confirmed points.
    """
    base = history.baseline
    records = [*history.frontier, *plausible(history), *([base] if base else [])]
    files = {record.measurement.artifact for record in records if record.measurement}
    if base and base.measurement and base.measurement.answers:
        files.add(base.measurement.answers)
    return files | {point.measurement.artifact for point in history.confirmed}


class StoreLimit:
    """Limits the size of an artifact store.

    Files that are cheapest to make again, for their size, go first. Files that any study of the
    store needs stay (see :func:`needed_files`), and so do the reference's weights, from which
    everything starts. While another process uses the store, nothing is removed.

    Each study pins the files it needs. While it runs, it pins everything it measures, which costs a
    line per trial: a killed search leaves too many pins, never too few.

    Args:
        store: The artifact store.
        limit_gb: The limit in gigabytes (10⁹ bytes), or ``None`` for no limit.
        history: The study.
        pins: The study's pins.
        use: The study's use of the store.
        cost: Informed about the remaining files after files were removed.
    """

    def __init__(
        self,
        store: ArtifactStore,
        limit_gb: float | None,
        history: History,
        pins: Pins,
        use: StoreUse,
        cost: CostModel,
    ) -> None:
        self.store = store
        self.limit_bytes = None if limit_gb is None else int(limit_gb * 1e9)
        self.history = history
        self.pins = pins
        self.use = use
        self.cost = cost
        self._looked_at = -_LOOK_EVERY
        self._pinned = 0
        self._is_reached = False
        self._told: set[str] = set()

    def pin(self) -> None:
        """Pin the files that the study needs now, and nothing else."""
        self._pinned = len(self.history.measured)
        self.pins.replace(needed_files(self.history))

    def is_reached(self) -> bool:
        """Tell whether the store is too large, checked every few trials; pin new files."""
        new = self.history.measured[self._pinned :]
        self._pinned += len(new)
        self.pins.add(record.measurement.artifact for record in new if record.measurement)
        done = len(self.history.records)
        if self.limit_bytes is not None and done >= self._looked_at + _LOOK_EVERY:
            self._looked_at = done
            self._is_reached = self.store.size_bytes() > self.limit_bytes
        return self._is_reached

    def enforce(self) -> None:
        """Remove files until there is room again, unless another process uses the store."""
        self._is_reached = False
        if self.limit_bytes is None:
            return
        self.pin()
        with self.use.alone() as is_alone:
            if is_alone:
                self.store.evict(int(_ROOM * self.limit_bytes))
        if not is_alone:
            self._tell(
                f"the artifact store {self.store.root} is above budget.store_gb, but another "
                "process uses it: nothing is removed until that process has ended"
            )
            return
        self.cost.note_stored(self.store.names())
        if self.store.size_bytes() > self.limit_bytes:
            self._tell(
                f"the artifact store {self.store.root} stays above budget.store_gb: the remaining "
                f"files are needed by {', '.join(sorted(self.store.pinned()))}, or no stage made "
                "them; raise budget.store_gb, or, if a study no longer exists, delete its file "
                "from "
                f"{self.store.pins}"
            )

    def _tell(self, text: str) -> None:
        """Warn, once per search."""
        if text not in self._told:
            self._told.add(text)
            _LOG.warning("%s", text)
