"""Ownership: who may write to a study, for any storage and any host.

One process owns a study: it publishes, and nobody else does. Others may join it as members, which
only try candidates (see :class:`Members`).

The owner keeps its name in the study itself and writes a heartbeat there every few seconds. A
newcomer that finds a name

1. takes over at once if that process is known to be gone (same host, same boot, no such process);
2. otherwise watches until the heartbeat would have expired, by its own clock. It never compares
   clocks: another host's clock may be hours off. If anything changes meanwhile, the owner is alive
   and the newcomer is refused; if nothing changes, it takes over.

Names are written by compare-and-swap, so one of several newcomers wins. An owner that was only slow
(suspended, cut off) may find that it was taken for dead. It must not write any more, and it cannot:
each of its transactions reads the name before it commits, and locks that row, so that nobody can
take over in between.

A member has a name, heartbeats and this fence, too, in an attribute of its own. Whoever takes it
for dead deletes that attribute; then the member cannot commit any more.
"""

from __future__ import annotations

import logging
import threading
import uuid
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, TypeVar

import optuna
from sqlalchemy import event

from paretune.search.storage.database import is_for_one
from paretune.search.storage.owner import Owner
from paretune.search.storage.patience import patiently
from paretune.search.storage.study_attribute import StudyAttribute
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

OWNER = "paretune_owner"
"""The study attribute that holds the owner's name."""

MEMBER = "paretune_member:"
"""What begins the names of the study attributes that hold members' names."""

BEAT_S = 10.0
"""Seconds between heartbeats; each is a write of a few milliseconds."""

EXPIRY_S = 60.0
"""Seconds without a heartbeat after which an owner counts as dead: six lost heartbeats. Untested
guess at the longest that a busy host keeps a thread from running."""

_LOOK_S = 1.0
"""Seconds between looks at the heartbeat of another owner."""

_HELD: set[str] = set()
_LOG = logging.getLogger("paretune")

Result = TypeVar("Result")


class Ownership:
    """The right to write to one study; use it as a context manager.

    Args:
        name: The study's name, for messages.
        storage: Its database.
        study_id: Optuna's id of it.
        url: The database, for messages.
        joins: Become a member if another process owns the study, instead of watching it.

    Raises:
        StudyError: On entry, if another process is alive and owns the study, unless this one joins.
    """

    def __init__(
        self,
        name: str,
        storage: optuna.storages.RDBStorage,
        study_id: int,
        url: str,
        *,
        joins: bool = False,
    ) -> None:
        self.name = name
        self.url = url
        self.storage = storage
        self.study_id = study_id
        self._joins = joins
        self._attribute = StudyAttribute(storage, study_id, OWNER)
        self._me = Owner.this_process(uuid.uuid4().hex)
        self._ended = threading.Event()
        self._beating = threading.Lock()
        self._lost: StudyError | None = None
        self._heart = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Ownership:
        _HELD.add(self._me.token)
        try:
            self._acquire()
        except BaseException:
            _HELD.discard(self._me.token)
            raise
        event.listen(self.storage.scoped_session, "before_commit", self._fence)
        self._heart.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._heart.join(timeout=BEAT_S)
        event.remove(self.storage.scoped_session, "before_commit", self._fence)
        _HELD.discard(self._me.token)
        # If the storage cannot be reached now, the next owner finds that this process is gone.
        with suppress(optuna.exceptions.StorageInternalError):
            self._attribute.swap(self._me.as_json(), None)

    @property
    def token(self) -> str:
        """This process's own name among those that write to the study."""
        return self._me.token

    @property
    def is_owner(self) -> bool:
        """Whether this process owns the study; a member does not."""
        return self._attribute.key == OWNER

    def check(self) -> None:
        """Do nothing while this process may write to the study.

        Raises:
            StudyError: If another process has taken over, or taken this one for dead.
        """
        if self._lost is not None:
            raise self._lost

    def take_over(self, seen: str | None) -> bool:
        """Become the owner, as a member.

        Args:
            seen: The name of an owner that is dead; ``None`` if the study has no owner.

        Returns:
            Whether this process is the owner now; ``False`` if another was quicker.

        Raises:
            StudyError: If this process was itself taken for dead: then its trials belong to others.
        """
        owner = StudyAttribute(self.storage, self.study_id, OWNER)
        with self._beating:
            self.check()
            if not self._swap(owner, seen, self._me):
                return False
            name, member = self._me.as_json(), self._attribute
            # From here on this is the owner; but it must not be if its own name was deleted.
            if not self._patiently(lambda: member.swap(name, None)):
                self._patiently(lambda: owner.swap(name, None))
                self._is_lost(None)
                self.check()
            self._attribute = owner
        return True

    def _become_member(self) -> None:
        key = MEMBER + self._me.token
        self._attribute = StudyAttribute(self.storage, self.study_id, key)
        self._swap(self._attribute, None, self._me)

    def _acquire(self) -> None:
        while True:
            seen = self._patiently(self._attribute.read)
            if seen is not None:
                known = Owner.from_json(seen)
                if known.token == self._me.token:
                    return  # It was written; only the answer was lost.
                if self._joins and not is_gone(known):
                    self._become_member()
                    return
                if not is_gone(known) and not self._stands_still(seen):
                    continue
            if self._swap(self._attribute, seen, self._me):
                return

    def _stands_still(self, seen: str) -> bool:
        """Watch an owner until its heartbeat would have expired.

        Returns:
            Whether nothing changed; ``False`` if it gave up the study.

        Raises:
            StudyError: If it is alive, or another newcomer was quicker.
        """
        owner = Owner.from_json(seen)
        _LOG.warning(
            "the study %r belongs to %s; watching for up to %g s whether that process is still "
            "alive",
            self.name,
            owner,
            EXPIRY_S,
        )
        # Count looks, not seconds: while the storage does not answer, no heartbeat can be seen.
        for _ in range(max(1, round(EXPIRY_S / _LOOK_S))):
            self._ended.wait(_LOOK_S)
            now = self._patiently(self._attribute.read)
            if now is None:
                return False
            if now != seen:
                help_it = (
                    "" if is_for_one(self.url) else ", or help it with `paretune search --join`"
                )
                raise StudyError(
                    f"the study {self.name!r} is being searched by {Owner.from_json(now)}; wait "
                    f"for it, or end it there first{help_it}"
                )
        return True

    def _swap(self, attribute: StudyAttribute, seen: str | None, owner: Owner) -> bool:
        """Put a name into an attribute, and tell whether it is there: an answer may be lost."""
        new = owner.as_json()
        done = self._patiently(lambda: attribute.swap(seen, new))
        return done or self._patiently(attribute.read) == new

    def _beat(self) -> None:
        while not self._ended.wait(BEAT_S) and self._lost is None:
            # The study's own thread reports failures of the storage.
            with suppress(optuna.exceptions.StorageInternalError), self._beating:
                self._beat_once()

    def _beat_once(self) -> None:
        beaten = self._me.beat()
        if self._attribute.swap(self._me.as_json(), beaten.as_json()):
            self._me = beaten
            return
        now = self._attribute.read()
        if not self._is_lost(now) and now:
            self._me = Owner.from_json(now)  # A heartbeat was written; only the answer was lost.

    def _is_lost(self, now: str | None) -> bool:
        """Compare the name in the storage with this process, and remember the result."""
        owner = Owner.from_json(now) if now else None
        if owner is not None and owner.token == self._me.token:
            return False
        what = (
            f"was taken over by {owner or 'another process, which ended'}"
            if self.is_owner
            else "goes on without this process"
        )
        self._lost = StudyError(
            f"the study {self.name!r} {what}, because this process sent no heartbeat "
            f"for {EXPIRY_S:g} s (suspended, or cut off from the storage). Finished trials are "
            "safe; nothing more was written. Let the other process continue, or end it and run "
            "the same command again"
        )
        return True

    def _fence(self, session: Session) -> None:
        """Allow commits only while this process may write; SQLAlchemy calls this before each."""
        session.flush()
        if self._is_lost(self._attribute.read_in(session)):
            self.check()

    def _patiently(self, access: Callable[[], Result]) -> Result:
        return patiently(access, self.url)


def is_gone(owner: Owner) -> bool:
    """Tell whether an owner is known to be gone: its process, or its work in this process."""
    here = Owner.this_process("")
    if (owner.place, owner.pid, owner.started) == (here.place, here.pid, here.started):
        return owner.token not in _HELD
    return owner.is_gone()


def who_owns(storage: optuna.storages.RDBStorage, study_id: int) -> Owner | None:
    """Return who writes to a study, as far as known without watching."""
    seen = StudyAttribute(storage, study_id, OWNER).read()
    owner = Owner.from_json(seen) if seen else None
    return None if owner is None or is_gone(owner) else owner
