"""The cores that the builds of a process hold, whatever pools they are in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from paretune.runners.runtimes.lease import CPU, lease

if TYPE_CHECKING:
    from paretune.runners.execute.build_pool import BuildPool


class HeldCores:
    """One lease for all build pools of a process; use it from one thread.

    Pools with a lease each would exclude each other, in one process too.
    """

    def __init__(self) -> None:
        self._holding: set[BuildPool] = set()
        self._lease = ExitStack()

    def hold(self, pool: BuildPool) -> None:
        """Hold the cores for a pool; wait while another process has them."""
        if not self._holding:
            self._lease.enter_context(lease(CPU))
        self._holding.add(pool)

    def release(self, pool: BuildPool) -> None:
        """Release the cores, unless another pool builds."""
        self._holding.discard(pool)
        if not self._holding:
            self._lease.close()

    @contextmanager
    def given_up(self) -> Iterator[None]:
        """Suspend the builds of all pools; inside this context the cores are free."""
        pools = [pool for pool in self._holding if pool.is_busy]
        for pool in pools:
            pool.suspend()
        self._holding.clear()
        self._lease.close()
        try:
            yield
        finally:
            try:
                for pool in pools:
                    self.hold(pool)
            finally:
                for pool in pools:
                    pool.resume()
