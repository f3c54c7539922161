"""Files at a URL of fsspec (https://filesystem-spec.readthedocs.io), which machines share."""

from __future__ import annotations

import posixpath
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from paretune.spaces import StoreError

T = TypeVar("T")

PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds between attempts: a server that restarts is back by then. Chosen by judgement."""

PIECE_BYTES = 2**25
"""Bytes (32 MiB) that one request of a download asks for, and that a cut loses at most. Chosen by
judgement: a request takes tens of milliseconds, a piece some tenths of a second.
"""

_AT_ONCE = frozenset(("s3", "s3a", "memory"))
"""Protocols whose files appear under their names only when the upload is complete, and which create
a file in one step if there is none (S3: ``If-None-Match: *``). With any other, a file is uploaded
beside its place and renamed.
"""

_S3_OPTIONS: dict[str, Any] = {"config_kwargs": {"retries": {"total_max_attempts": 1}}}
"""Options of s3fs. Boto would try again as well, within each attempt of ours, which makes one at a
server that is gone take 2 to 7 s (on loopback) instead of none.
"""

_ANSWERS = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""Errors that say how things are: to try again would change nothing."""


class RemoteFiles:
    """The files below a URL. Each call is tried again after a failure, with growing pauses.

    Args:
        url: Any URL that fsspec knows. Credentials and endpoints come from the environment and the
            files that the protocol's package reads (for S3: ``AWS_ENDPOINT_URL``,
            ``AWS_ACCESS_KEY_ID``, ``~/.aws``).

    Raises:
        StoreError: If no installed package knows the protocol. All methods raise it if the server
            does not answer or refuses.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._fs, root = _opened(self.url)
        self._root = root.rstrip("/")
        names = (self._fs.protocol,) if isinstance(self._fs.protocol, str) else self._fs.protocol
        self._protocols = frozenset(names)

    def size(self, name: str) -> int | None:
        """Return the size of a file in bytes, or ``None`` if there is no such file."""
        try:
            info = self._tried("look for", name, lambda: self._fs.info(self._path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return int(info["size"]) if info["type"] == "file" else None

    def read(self, name: str) -> bytes | None:
        """Return the bytes of a small file, or ``None`` if there is no such file."""
        try:
            return bytes(self._tried("read", name, lambda: self._fs.cat_file(self._path(name))))
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
            return None

    def names(self, folder: str) -> list[str]:
        """Return the names of all files below a folder, relative to it."""
        start = f"{self._path(folder)}/"
        try:
            found = self._tried("list", folder, lambda: self._fs.find(start))
        except FileNotFoundError:
            return []
        return [path.partition(start)[2] for path in found]

    def write(self, name: str, data: bytes) -> None:
        """Write a small file, or replace it."""
        self._place("write", name, lambda path: self._fs.pipe_file(path, data))

    def create(self, name: str, data: bytes) -> bool:
        """Write a small file if there is none of its name; return whether it was written.

        Of several writers one wins on S3 and on local file systems (by a hard link). Elsewhere it
        is a look and then a write: of two that write at the same moment, the last one wins.
        """
        if not self._protocols & _AT_ONCE and "file" not in self._protocols:
            if self.size(name) is not None:
                return False
            self.write(name, data)
            return True

        def attempt() -> bool:
            try:
                self._create(self._path(name), data)
            except Exception:
                # Somebody was faster; not all servers say it so that s3fs understands them. Or it
                # was this process, and the answer was lost.
                if self.size(name) is None:
                    raise
                return False
            return True

        try:
            return self._tried("write", name, attempt)
        except (FileNotFoundError, FileExistsError) as error:
            raise self._error("write", name, error) from error

    def upload(self, path: Path, name: str) -> None:
        """Upload a file: it appears under its name when it is complete, and not before."""
        self._place("upload", name, lambda there: self._fs.put_file(str(path), there))

    def download(self, name: str, path: Path) -> bool:
        """Download a file to a local path, and go on from the bytes that are there already.

        What arrived stays there if the transfer is cut. The bytes are not checked: the caller
        compares them with their digest.

        Returns:
            Whether there is such a file.
        """
        size = self.size(name)
        if size is None:
            return False
        have = path.stat().st_size if path.exists() else 0
        if have > size:
            path.unlink()
            have = 0
        with path.open("ab") as file:
            while have < size:
                try:
                    piece = self._piece(name, have, min(have + PIECE_BYTES, size))
                except FileNotFoundError:
                    return False
                file.write(piece)
                file.flush()
                have += len(piece)
        return True

    def remove(self, name: str) -> None:
        """Remove a file, or a folder with all files; it need not be there."""
        with suppress(FileNotFoundError):
            self._tried("remove", name, lambda: self._fs.rm(self._path(name), recursive=True))

    def _piece(self, name: str, start: int, end: int) -> bytes:
        def attempt() -> bytes:
            piece = bytes(self._fs.cat_file(self._path(name), start=start, end=end))
            if not piece:
                raise OSError(f"the answer ends at byte {start}")
            return piece

        return self._tried("download", name, attempt)

    def _create(self, path: str, data: bytes) -> None:
        if self._protocols & _AT_ONCE:
            self._fs.pipe_file(path, data, mode="create")
            return
        with self._aside() as aside:
            self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
            self._fs.pipe_file(aside, data)
            self._fs.link(aside, path)

    def _place(self, doing: str, name: str, put: Callable[[str], Any]) -> None:
        path = self._path(name)

        def attempt() -> None:
            if self._protocols & _AT_ONCE:
                put(path)
                return
            with self._aside() as aside:
                put(aside)
                self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
                self._fs.mv(aside, path)

        try:
            self._tried(doing, name, attempt)
        except (FileNotFoundError, FileExistsError) as error:  # such as a bucket that is not there
            raise self._error(doing, name, error) from error

    @contextmanager
    def _aside(self) -> Iterator[str]:
        """Yield a path beside the others, for a file that is not complete yet."""
        path = f"{self._root}/incoming/{uuid4().hex}"
        self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
        try:
            yield path
        finally:
            with suppress(Exception):  # it was renamed, or the server is away
                self._fs.rm_file(path)

    def _tried(self, doing: str, name: str, call: Callable[[], T]) -> T:
        """Return what a call returns; call again after failures that may pass.

        Raises:
            FileNotFoundError: At once; that is an answer.
            StoreError: If the server still fails at the last attempt, or refuses.
        """
        for pause in (*PAUSES_S, None):
            try:
                return call()
            except (*_ANSWERS, StoreError):
                raise
            except Exception as error:  # each protocol's package has errors of its own
                if pause is None or _is_refusal(error):
                    raise self._error(doing, name, error) from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    def _error(self, doing: str, name: str, error: Exception) -> StoreError:
        why = f"{type(error).__name__}: {error}"
        return StoreError(
            f"the store {self.url} does not work: cannot {doing} {name} ({why}); check the URL, "
            "the credentials, the network and, for S3, AWS_ENDPOINT_URL; then run the same command "
            "again: finished work is kept on this machine and is uploaded then"
        )

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _opened(url: str) -> tuple[Any, str]:
    """Return the file system of a URL, and the path on it."""
    try:
        from fsspec.core import url_to_fs

        # Listings must be fresh: other machines write, too.
        protocol = url.partition("://")[0]
        options = _S3_OPTIONS if protocol in ("s3", "s3a") else {}
        system, path = url_to_fs(url, use_listings_cache=False, **options)
        return system, str(system._strip_protocol(path))
    except ImportError as error:
        raise StoreError(
            f"the store {url} needs a package that is not installed ({error}): "
            "pip install 'paretune[s3]', or fsspec's package for that protocol"
        ) from error
    except ValueError as error:
        raise StoreError(
            f"`store` is a folder or a URL that fsspec knows, such as s3://bucket/prefix or "
            f"file:///nfs/store; got {url} ({error}). For S3: pip install 'paretune[s3]'"
        ) from error


def _is_refusal(error: Exception) -> bool:
    """Tell whether a server, or the client itself, says no, and not that it failed."""
    kinds = (PermissionError, NotImplementedError, TypeError, ValueError)
    return isinstance(error, kinds) or "Credentials" in type(error).__name__
