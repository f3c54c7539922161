"""Members: the processes that write to one study, who of them is alive, and whose turn it is.

Each keeps its name and a heartbeat in an attribute of the study (see :class:`Ownership`). A process
is alive as long as its name is there. The others delete the name of one whose heartbeat stands
still for too long, each by its own clock; from then on that process cannot commit, and its trials
may be taken over. The name of a dead owner is replaced by that of the member which found out first.

What two processes must not do at once (start a trial, take one over) they do in turns. Whose turn
it is, is another attribute, written by compare-and-swap; the turn of a process that died goes to
the next one.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

from paretune.search.storage import ownership
from paretune.search.storage.owner import Owner
from paretune.search.storage.ownership import MEMBER, OWNER, Ownership, is_gone
from paretune.search.storage.patience import patiently
from paretune.search.storage.study_attribute import StudyAttribute, attributes_like

TURN = "paretune_turn"
"""The study attribute that says whose turn it is."""

_TURN_S = 0.05
"""Seconds between looks at whose turn it is. A turn takes some queries. Chosen by judgement."""

_LOG = logging.getLogger("paretune")

Result = TypeVar("Result")


class Members:
    """The processes that write to a study, as this one sees them.

    Args:
        own: This process's own place among them.

    Attributes:
        living: Those that are alive, this one included, by token; from the last :meth:`watch`.
        owners_heartbeat: What the owner wrote last; ``None`` if there is no owner.
    """

    def __init__(self, own: Ownership) -> None:
        self._ownership = own
        self._turn = StudyAttribute(own.storage, own.study_id, TURN)
        self._still: dict[str, tuple[str, int]] = {}
        self._looked_at = -float("inf")
        self.living: dict[str, Owner] = {}
        self.owners_heartbeat: str | None = None
        self.watch()

    def watch(self) -> None:
        """Look who is alive, and let go those that are dead; replace a dead owner, as a member.

        Raises:
            StudyError: If this process was itself taken for dead.
        """
        names = self._names()
        dead = self._dead(names)
        for key, seen in dead.items():
            self._let_go(key, seen)
        if OWNER not in names and not self._ownership.is_owner:
            self._ownership.take_over(None)
            dead[OWNER] = ""
        if dead:
            names = self._names()
        self.owners_heartbeat = names.get(OWNER)
        self.living = {owner.token: owner for owner in map(Owner.from_json, names.values())}

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be the only process, of those that write to the study, that is inside this context.

        Raises:
            StudyError: If this process was taken for dead.
        """
        mine = json.dumps(self._ownership.token)
        while not self._takes_turn(mine):
            self._ownership.check()
            time.sleep(_TURN_S)
        try:
            yield
        finally:
            self._patiently(lambda: self._turn.swap(mine, None))

    def _takes_turn(self, mine: str) -> bool:
        seen = self._patiently(self._turn.read)
        if seen == mine:
            return True
        if seen is not None:
            self.watch()
            if json.loads(seen) in self.living:
                return False
        return self._patiently(lambda: self._turn.swap(seen, mine))

    def _dead(self, names: Mapping[str, str]) -> dict[str, str]:
        """Return the names of the others that are dead, by attribute.

        Looks are counted, not seconds: while this process is suspended or the storage does not
        answer, no heartbeat can be seen.
        """
        now = time.monotonic()
        counts = now - self._looked_at >= ownership.BEAT_S
        if counts:
            self._looked_at = now
        found, still = {}, {}
        for key, name in names.items():
            owner = Owner.from_json(name)
            if owner.token == self._ownership.token:
                continue
            seen, looks = self._still.get(key, ("", 0))
            looks = looks + counts if name == seen else 0
            still[key] = name, looks
            if is_gone(owner) or looks * ownership.BEAT_S >= ownership.EXPIRY_S:
                found[key] = name
        self._still = still
        return found

    def _let_go(self, key: str, seen: str) -> None:
        owner = Owner.from_json(seen)
        if key == OWNER:
            if not self._ownership.is_owner and self._ownership.take_over(seen):
                _LOG.warning(
                    "%s, which owned the study, is gone; this process owns it now", owner.process
                )
            return
        name = StudyAttribute(self._ownership.storage, self._ownership.study_id, key)
        if self._patiently(lambda: name.swap(seen, None)):
            _LOG.warning("%s is gone; its unfinished trials are tried again", owner.process)

    def _names(self) -> dict[str, str]:
        """Return the names of all that write to the study, by attribute."""
        storage, study_id = self._ownership.storage, self._ownership.study_id
        return self._patiently(lambda: attributes_like(storage, study_id, OWNER, MEMBER))

    def _patiently(self, access: Callable[[], Result]) -> Result:
        return patiently(access, self._ownership.url)
