"""A store at a URL whose server fails: transfers go on from where they were, nothing is lost."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from test_store import put, put_model, record

from paretune.runners.execute.job import Train
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.store.remote_files import RemoteFiles
from paretune.runners.store.remote_store import RemoteStore
from paretune.spaces import BuildSpec, Quantization, StoreError

pytest.importorskip("fsspec", reason="the extra `s3` is not installed")
from flaky_files import FlakyFiles

KEY = "k" * 64


@pytest.fixture(autouse=True)
def well(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A server that works, and clients with little patience and small pieces."""
    monkeypatch.setattr("paretune.runners.store.remote_files.PAUSES_S", (0.0,))
    monkeypatch.setattr("paretune.runners.store.remote_files.PIECE_BYTES", 4)
    FlakyFiles.left = float("inf")
    yield
    FlakyFiles.left = float("inf")


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"flaky://{tmp_path.name}"


@pytest.fixture
def a(tmp_path: Path, url: str) -> RemoteStore:
    return RemoteStore(tmp_path / "a", url)


@pytest.fixture
def b(tmp_path: Path, url: str) -> RemoteStore:
    return RemoteStore(tmp_path / "b", url)


def again(store: RemoteStore) -> RemoteStore:
    """Return a store as another process opens it."""
    return RemoteStore(store.root, store.url)


def downloads_of(store: RemoteStore, name: str) -> list[int | None]:
    """Get an object, and return from which bytes on it was asked for."""
    FlakyFiles.requests.clear()
    assert store.get(name) is not None
    return [start for what, start in FlakyFiles.requests if what == "get" and start is not None]


def test_a_download_that_was_cut_goes_on_in_another_process(a: RemoteStore, b: RemoteStore) -> None:
    name, content = put(a, b"0123456789"), b"0123456789"
    FlakyFiles.left = 2  # it asks for a manifest, and gets one piece
    with pytest.raises(StoreError, match=r"cannot download objects/.*ConnectionResetError"):
        b.get(name)
    assert b.names_here() == []
    FlakyFiles.left = float("inf")
    other = again(b)
    assert downloads_of(other, name) == [4, 8]
    path = other.get(name)
    assert path is not None and path.read_bytes() == content


def test_the_files_of_an_artifact_go_on_too(a: RemoteStore, b: RemoteStore) -> None:
    name = put_model(a, model=b"0123456789", weights=b"abcdef")
    FlakyFiles.left = 5  # the manifest, the first file, and one piece of the second
    with pytest.raises(StoreError):
        b.get(name)
    FlakyFiles.left = float("inf")
    assert downloads_of(again(b), name) == [4]


def test_bytes_left_from_something_else_are_downloaded_anew(a: RemoteStore, b: RemoteStore) -> None:
    name = put(a, b"0123456789")
    (b.root / "incoming" / name).write_bytes(b"other")
    assert downloads_of(b, name) == [5, 9, 0, 4, 8]
    (b.root / "incoming" / name).write_bytes(b"longer than the file")
    b._checked.clear()
    for path in b._objects():
        path.unlink()
    assert downloads_of(b, name) == [0, 4, 8]


def test_a_failure_that_passes_is_not_noticed(
    a: RemoteStore, b: RemoteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put(a, b"0123456789")
    waited: list[float] = []

    def comes_back(seconds: float) -> None:
        waited.append(seconds)
        FlakyFiles.left = 2 if len(waited) < 3 else float("inf")

    monkeypatch.setattr("paretune.runners.store.remote_files.time.sleep", comes_back)
    monkeypatch.setattr("paretune.runners.store.remote_files.PAUSES_S", (1.0, 2.0, 4.0))
    FlakyFiles.left = 1
    assert b.get(name) is not None and waited == [1.0, 1.0]


def test_an_upload_that_was_cut_leaves_no_artifact(a: RemoteStore, b: RemoteStore) -> None:
    FlakyFiles.left = 1  # one of two files; the manifest would be the last
    name = put_model(a, model=b"graph", weights=b"weights")
    FlakyFiles.left = float("inf")
    assert b.state(name) == "missing" and not b.has(name) and name not in b.names()
    made = a.commit(record(name))  # the same process: what it owes comes first
    assert b.record(KEY) == made and b.get(name) is not None


def test_a_server_that_is_gone_loses_nothing(
    a: RemoteStore, b: RemoteStore, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    FlakyFiles.left = 0
    name = put_model(a, model=b"graph")
    with pytest.raises(StoreError) as error:
        a.commit(record(name))
    for part in (url, "ConnectionRefusedError", "run the same command again", "uploaded then"):
        assert part in str(error.value)
    job = Train(spec=BuildSpec("small", 0.5, Quantization.FP32), until="distill")
    with pytest.raises(StoreError):
        Outcomes(a).once(job, lambda: pytest.fail("whether it was done is not known"))
    with pytest.raises(StoreError):
        b.get(name)
    # What is in the cache can be used meanwhile.
    offline = again(a)
    assert offline.record(KEY) == record(name) and offline.get(name) is not None
    assert len([each for each in caplog.messages if "going on with the files" in each]) == 2
    FlakyFiles.left = float("inf")
    later = again(a)
    assert later.record(KEY) == record(name)
    assert b.record(KEY) == record(name) and b.get(name) is not None


def test_an_upload_appears_at_once_where_files_are_renamed(tmp_path: Path) -> None:
    files = RemoteFiles(f"file://{tmp_path}/remote")
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    seen: list[list[str]] = []
    move = files._fs.mv

    def looked_at(here: str, there: str) -> None:
        seen.append(files.names("objects"))
        move(here, there)

    files._fs.mv = looked_at
    try:
        files.upload(source, "objects/ab/abc")
    finally:
        del files._fs.mv
    assert seen == [[]] and files.names("objects") == ["ab/abc"] and not files.names("incoming")


def test_a_file_system_of_which_nothing_is_known_gets_files_by_renaming(tmp_path: Path) -> None:
    files = RemoteFiles(f"memory://{tmp_path.name}")
    files._protocols = frozenset(("another",))
    source = tmp_path / "source"
    source.write_bytes(b"abc")
    assert files.create("stages/x", b"one") and not files.create("stages/x", b"two")
    files.upload(source, "objects/ab/abc")
    assert files.read("stages/x") == b"one" and files.read("objects/ab/abc") == b"abc"
    assert not files.names("incoming")
