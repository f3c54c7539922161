"""The artifact store at a URL: what machines without a shared file system share."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

from paretune.runners.store.arrivals import Arrivals, place_of
from paretune.runners.store.artifact import MANIFEST, Artifact
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.remote_files import RemoteFiles
from paretune.runners.store.stored_object import (
    State,
    object_bytes,
    object_marks,
    object_state,
    read_manifest,
    remove_object,
)
from paretune.spaces import StoreError

_LOG = logging.getLogger("paretune")


_AWAY_S = 60.0
"""Seconds for which a server that did not answer is not asked for what can wait. Chosen by
judgement: each attempt takes a quarter of a minute.
"""


class RemoteStore(ArtifactStore):
    """A store whose truth lies at a URL, with a folder on this machine as its cache.

    Objects and records have the same names there as in the folder (see ``artifact_store.py``); of
    an artifact, the manifest is uploaded last, and what has none is not there. An object is looked
    for in the cache, then downloaded, and compared with its digest before it gets its name. What is
    damaged at the URL is removed there: its stage makes it again, or another machine that has it
    whole uploads it.

    Records are written only if there is none; the first one counts. So two machines that build the
    same stage waste time, and nothing else. A first record whose output is gone is replaced.

    The log of executions, claims, scratch and the limit of the size belong to the cache alone.

    If the server is away, all that the cache holds can be used; what this process makes is kept
    there first, so that nothing is lost, and uploaded by the next use.

    Args:
        root: The folder of the cache; made if it is missing.
        url: A URL of fsspec.
        waiting: See :class:`ArtifactStore`.

    Raises:
        StoreError: If the folder cannot be written, or no installed package knows the protocol.
            All methods raise it if the server has to answer and does not.
    """

    def __init__(self, root: Path, url: str, waiting: Path | None = None) -> None:
        super().__init__(root, waiting)
        self._remote = RemoteFiles(url)
        self._arrivals = Arrivals(self._remote, self.root / "incoming")
        self._uploaded: set[str] = set()
        """Objects that are known to be at the URL."""
        self._settled: set[Path] = set()
        """Records that are known to be the same at the URL."""
        self._owed: set[str] = set()
        """Objects whose upload failed."""
        self._bad: set[str] = set()
        """Objects that are damaged at the URL."""
        self._away_until = 0.0

    @property
    def url(self) -> str:
        """Where the store is."""
        return self._remote.url

    def put(self, path: Path, *, move: bool = False) -> str:
        """Add a file (see :class:`ArtifactStore`), and upload it if it is not at the URL.

        An upload that fails is made up for by :meth:`keep`, which raises if it fails again: by then
        the record of the work is in the cache as well.
        """
        name = super().put(path, move=move)
        self._upload_soon(name)
        return name

    def put_artifact(self, artifact: Artifact, folder: Path) -> str:
        """Add an artifact (see :class:`ArtifactStore`), and upload it as :meth:`put` does."""
        name = super().put_artifact(artifact, folder)
        self._upload_soon(name)
        return name

    def get(self, name: str) -> Path | None:
        """Return the path of an object in the cache (see :class:`ArtifactStore`), or download it.

        One that is in the cache and not at the URL is uploaded.
        """
        path = super().get(name)
        if path is not None:
            self._unless_away(lambda: self._upload(name))
            return path
        # The second time, so that it is not this machine's memory or network.
        if self._fetch(name) == "damaged" and self._fetch(name) == "damaged":
            self._discard(name)
        return super().get(name)

    def remove(self, name: str) -> None:
        """Remove an object that nobody needs any more, in the cache and at the URL."""
        super().remove(name)
        self._uploaded.discard(name)
        self._owed.discard(name)
        self._unless_away(lambda: self._remote.remove(place_of(name)))

    def has(self, name: str) -> bool:
        """Tell whether an object is in the cache or at the URL, without downloading it."""
        return super().has(name) or (name not in self._bad and self._remote_bytes(name) is not None)

    def artifact(self, name: str) -> Artifact | None:
        """Return what an artifact's manifest says; of the artifact, nothing else is downloaded."""
        found = super().artifact(name)
        if found is None and not super().has(name):
            found = self._arrivals.manifest(name)
        return found

    def model_bytes(self, name: str) -> int:
        """Return the size of a model, downloaded or not."""
        if super().has(name):
            return super().model_bytes(name)
        artifact = self._arrivals.manifest(name)
        return artifact.size_bytes if artifact else self._remote_bytes(name) or 0

    def state(self, name: str) -> State:
        """Say whether an object is whole, damaged or missing; it is downloaded to find out."""
        here = super().state(name)
        return self._fetch(name) if here == "missing" else here

    def names(self) -> list[str]:
        """Return the digests of all artifacts and files, in the cache and at the URL."""
        return sorted({*self.names_here(), *self._remote_names()})

    def read(self, path: Path) -> str:
        """Return the text of a record (see :class:`ArtifactStore`), as it is at the URL.

        One that is only in the cache, because the server was away, is uploaded.
        """
        if path in self._settled:
            return super().read(path)
        own = None
        with suppress(OSError, ValueError):
            own = super().read(path)
        if own is None:
            found = self._remote.read(self._at(path))
            if found is None:
                raise FileNotFoundError(f"{self.url}/{self._at(path)}")
            own = found.decode("utf-8")
            path.parent.mkdir(exist_ok=True)
            self.write(path, own)
            self._settled.add(path)
        self._unless_away(lambda: self._settle(path))
        return super().read(path)

    def keep(
        self, path: Path, text: str, is_usable: Callable[[str], bool] = lambda text: True
    ) -> str:
        """Write a record if there is none at the URL, and return the text that counts.

        It is written to the cache first: if the server is away, the next use uploads it.
        """
        self.write(path, text)
        self.settle()
        if not self._remote.create(self._at(path), text.encode()):
            first = (self._remote.read(self._at(path)) or b"").decode("utf-8", errors="replace")
            if first == text or is_usable(first):
                text = first
                self.write(path, text)
            else:
                self._remote.write(self._at(path), text.encode())
        self._settled.add(path)
        self._away_until = 0.0
        return text

    def settle(self) -> None:
        """Upload what could not be uploaded before."""
        for name in list(self._owed):
            self._upload(name)

    def drop_copy(self, name: str) -> None:
        """Remove an object from the cache."""
        super().remove(name)

    def share(self, path: Path) -> None:
        """Copy a file of the cache to the URL; a later version replaces it there."""
        self._unless_away(lambda: self._remote.write(self._at(path), path.read_bytes()))

    def evict(self, limit_bytes: int, keep: Collection[str] = ()) -> int:
        """Remove objects from the cache until it fits a limit (see :class:`ArtifactStore`).

        Only what is at the URL is removed, where it stays: first what is cheap to make, and if that
        is not enough, what was put here longest ago.
        """
        stay = {*keep, *(set(self.names_here()) - self._remote_names())}
        removed = super().evict(limit_bytes, stay)
        stay = stay.union(*self.pinned().values())
        left = self.size_bytes()
        for path in sorted(self._objects(), key=lambda each: each.stat().st_mtime):
            if left <= limit_bytes:
                break
            if path.name not in stay:
                own = object_bytes(path)
                remove_object(path)
                left, removed = left - own, removed + own
        return removed

    def sweep(self) -> None:
        """Remove leftovers of killed processes; a download goes on, unless it is old."""
        super().sweep()
        self._arrivals.sweep()

    def _settle(self, path: Path) -> None:
        """Make a record that is in the cache the same at the URL, or that one ours."""
        if path in self._settled:
            return
        own = super().read(path).encode()
        if not self._remote.create(self._at(path), own):
            first = self._remote.read(self._at(path))
            if first is not None and first != own:
                self.write(path, first.decode("utf-8", errors="replace"))
        self._settled.add(path)

    def _upload_soon(self, name: str) -> None:
        self._owed.add(name)
        self._unless_away(lambda: self._upload(name))

    def _upload(self, name: str) -> None:
        """Upload an object of the cache, unless it is at the URL or damaged in the cache."""
        path = self._object(name)
        if name not in self._uploaded and path.exists():
            last = (path / MANIFEST, f"{place_of(name)}/{MANIFEST}")
            if path.is_file():
                last = (path, place_of(name))
            if name in self._bad or self._remote.size(last[1]) != last[0].stat().st_size:
                if super().get(name) is None:
                    return  # it would take the place of a whole one
                for file in read_manifest(path).files if path.is_dir() else ():
                    self._remote.upload(path / file.name, f"{place_of(name)}/{file.name}")
                self._remote.upload(*last)
            self._uploaded.add(name)
            self._bad.discard(name)
        self._owed.discard(name)

    def _fetch(self, name: str) -> State:
        """Download an object that is not in the cache."""
        if not name or "/" in name or name.startswith("."):
            return "missing"
        with self.claim(f"fetch-{name}"):
            path = self._object(name)
            if (here := object_state(path)) != "missing":
                return here  # another process was faster
            path.parent.mkdir(exist_ok=True)
            with self.scratch() as folder:
                try:
                    state = self._arrivals.fetch(name, folder / name)
                except OSError as error:
                    raise StoreError(
                        f"cannot write what {self.url} has of {name} to {self.root}: {error}; free "
                        "some space; the download goes on from there"
                    ) from error
                if state == "whole":
                    with self._scratch.renamed_to(path) as aside:
                        (folder / name).replace(aside)
                    self._checked[name] = object_marks(path)
                    self._uploaded.add(name)
            return state

    def _discard(self, name: str) -> None:
        """Remove what is damaged at the URL."""
        self._bad.add(name)
        self._uploaded.discard(name)
        _LOG.warning(
            "%s at %s is damaged: its bytes have another digest. It is not used, and made again if "
            "it is needed",
            name,
            f"{self.url}/{place_of(name)}",
        )
        self._unless_away(lambda: self._remote.remove(place_of(name)))

    def _remote_bytes(self, name: str) -> int | None:
        """Return the size of a file at the URL, or of the manifest of the artifact there."""
        size = self._remote.size(f"{place_of(name)}/{MANIFEST}")
        return self._remote.size(place_of(name)) if size is None else size

    def _remote_names(self) -> set[str]:
        """Return the digests of the objects at the URL."""
        found = set()
        for each in self._remote.names("objects"):
            _, name, *rest = each.split("/")
            if not rest or rest == [MANIFEST]:
                found.add(name)
        return found

    def _at(self, path: Path) -> str:
        """Return the name at the URL of a file in the cache.

        Raises:
            FileNotFoundError: If it lies elsewhere.
        """
        if ".." in path.parts or not path.is_relative_to(self.root):
            raise FileNotFoundError(f"{path} is not in {self.root}")
        return path.relative_to(self.root).as_posix()

    def _unless_away(self, do: Callable[[], None]) -> None:
        """Do what can wait for the server's return; its absence is told now and then."""
        if time.monotonic() < self._away_until:
            return
        try:
            do()
        except StoreError as error:
            self._away_until = time.monotonic() + _AWAY_S
            _LOG.warning("going on with the files in %s: %s", self.root, error)
