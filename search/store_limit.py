"""The store's limit: what is removed when the artifact store has grown too large."""

from __future__ import annotations

from runners.store import ArtifactStore
from search.history import History

_LOOK_EVERY = 20
_ROOM = 0.8


class StoreLimit:
    """Keeps an artifact store below a size.

    What is removed first is what is cheapest to make again, for its size. The files of the frontier
    and of the baseline stay, and so do the reference's weights: everything starts from them.

    Args:
        store: The artifact store.
        limit_gb: Its size in gigabytes (10⁹ bytes), or ``None`` for no limit.
        history: The study.
    """

    def __init__(self, store: ArtifactStore, limit_gb: float | None, history: History) -> None:
        self.store = store
        self.limit_bytes = None if limit_gb is None else int(limit_gb * 1e9)
        self.history = history
        self._looked_at = -_LOOK_EVERY
        self._is_reached = False

    def is_reached(self) -> bool:
        """Tell whether the store is too large; looked at every few trials."""
        done = len(self.history.records)
        if self.limit_bytes is not None and done >= self._looked_at + _LOOK_EVERY:
            self._looked_at = done
            self._is_reached = self.store.size_bytes() > self.limit_bytes
        return self._is_reached

    def enforce(self) -> None:
        """Remove files until there is some room again."""
        self._is_reached = False
        if self.limit_bytes is None:
            return
        base = self.history.baseline
        kept = [*self.history.frontier, *([base] if base else [])]
        files = {record.measurement.artifact for record in kept if record.measurement}
        self.store.evict(int(_ROOM * self.limit_bytes), files)
