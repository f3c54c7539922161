"""A file system of fsspec that fails on order: files in memory, at ``flaky://NAME``."""

from typing import Any, ClassVar

import fsspec
from fsspec.implementations.memory import MemoryFileSystem


class FlakyFiles(MemoryFileSystem):
    """Each request that transfers something counts; after ``left`` of them the server is gone."""

    protocol = ("flaky", "memory")
    left: ClassVar[float] = float("inf")
    requests: ClassVar[list[tuple[str, Any]]] = []
    """What was done, and from which byte on."""

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return super()._strip_protocol(path.replace("flaky://", "memory://"))

    def _request(self, what: str, start: int | None = None) -> None:
        type(self).requests.append((what, start))
        if type(self).left <= 0:
            raise ConnectionResetError("the connection was cut")
        type(self).left -= 1

    def info(self, path: str, **rest: Any) -> Any:
        if type(self).left <= 0:
            raise ConnectionRefusedError("nobody answers")
        return super().info(path, **rest)

    def cat_file(self, path: str, start: Any = None, end: Any = None, **rest: Any) -> bytes:
        self._request("get", start)
        return bytes(super().cat_file(path, start, end, **rest))

    def put_file(self, lpath: str, rpath: str, **rest: Any) -> None:
        self._request("put")
        super().put_file(lpath, rpath, **rest)

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **rest: Any) -> None:
        self._request("write")
        super().pipe_file(path, value, mode=mode, **rest)


fsspec.register_implementation("flaky", FlakyFiles, clobber=True)
