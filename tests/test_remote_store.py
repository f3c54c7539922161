"""A store at a URL: what one machine puts there, others have; each has a folder as its cache."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import run_python, write_study
from s3_server import s3_server
from test_store import put, put_model, record

from paretune.runners.build.built import Training
from paretune.runners.execute.job import Train
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.open_store import open_store
from paretune.runners.store.pins import Pins
from paretune.runners.store.remote_files import RemoteFiles
from paretune.runners.store.remote_store import RemoteStore
from paretune.search.study.build_workers import worker_settings
from paretune.search.study.open_study import OpenStudy
from paretune.spaces import BuildSpec, Quantization, StoreError

pytest.importorskip("fsspec", reason="the extra `s3` is not installed")

KEY = "k" * 64


@pytest.fixture(params=["memory", "file", pytest.param("s3", marks=pytest.mark.slow)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "s3":
        with s3_server("bucket") as served:
            yield f"{served}/builds"
    elif request.param == "memory":
        yield f"memory://{tmp_path.name}"
    else:
        yield f"file://{tmp_path}/remote"


@pytest.fixture
def a(tmp_path: Path, url: str) -> ArtifactStore:
    return open_store(tmp_path / "a", url)


@pytest.fixture
def b(tmp_path: Path, url: str) -> ArtifactStore:
    return open_store(tmp_path / "b", url)


def again(store: ArtifactStore) -> RemoteStore:
    """Return a store as another process opens it."""
    assert isinstance(store, RemoteStore)
    return RemoteStore(store.root, store.url)


def test_an_object_that_one_machine_put_is_had_by_another(
    a: ArtifactStore, b: ArtifactStore
) -> None:
    file, model = put(a, b"abc"), put_model(a, model=b"graph", parts_weights=b"weights")
    empty = put(a, b"")
    assert b.names_here() == [] and b.names() == sorted([file, model, empty])
    assert b.has(model) and not b.has("f" * 64) and b.get("f" * 64) is None and b.get("") is None
    # What a manifest says needs no download.
    artifact = b.artifact(model)
    assert artifact == a.artifact(model) and artifact is not None
    assert b.model_bytes(model) == 12 and b.model_bytes(file) == 3 and b.names_here() == []
    path, found, nothing = b.get(file), b.get(model), b.get(empty)
    assert path is not None and path.read_bytes() == b"abc" and path.is_relative_to(b.root)
    assert found is not None and found.read_bytes() == b"graph"
    assert (found.parent / "parts" / "weights").read_bytes() == b"weights"
    assert nothing is not None and nothing.read_bytes() == b""
    assert {b.state(name) for name in (file, model, empty)} == {"whole"}
    assert not list((b.root / "incoming").iterdir()) and not b.leftovers()


def test_records_and_outcomes_of_one_machine_are_those_of_another(
    a: ArtifactStore, b: ArtifactStore
) -> None:
    made = record(put(a, b"abc"))
    assert b.note(KEY) is None and b.same("content") is None
    assert a.commit(made, "content") == made
    assert b.note(KEY) == b.record(KEY) == b.same("content") == made
    job = Train(spec=BuildSpec("small", 0.5, Quantization.FP32), until="distill")
    first = Outcomes(a).once(job, lambda: Training({"distill": 0.9}, {}, {}))
    assert Outcomes(b).once(job, lambda: pytest.fail("it was done before")) == first
    # Each machine keeps its own log of what it ran.
    a.log("started", "export", KEY)
    assert len(a.executions()) == 1 and b.executions() == []


def test_of_two_that_finish_one_stage_the_first_counts(a: ArtifactStore, b: ArtifactStore) -> None:
    first, second = record(put(a, b"first")), record(put(b, b"second"))
    assert a.commit(first) == first
    assert b.commit(second) == first and b.note(KEY) == first
    assert again(a).note(KEY) == again(b).note(KEY) == first
    path = b.get(first.output)
    assert path is not None and path.read_bytes() == b"first"
    # So it is with a job that two did.
    job = Train(spec=BuildSpec("small", 0.5, Quantization.FP32), until="distill")

    def meanwhile() -> Training:
        Outcomes(a).once(job, lambda: Training({"distill": 0.9}, {}, {}))
        return Training({"distill": 0.8}, {}, {})

    assert Outcomes(b).once(job, meanwhile).value == Training({"distill": 0.9}, {}, {})


def test_a_first_record_whose_output_is_gone_is_replaced(
    a: ArtifactStore, b: ArtifactStore, url: str
) -> None:
    first = record(put(a, b"first"))
    a.commit(first)
    RemoteFiles(url).remove(f"objects/{first.output[:2]}/{first.output}")
    assert b.record(KEY) is None
    second = record(put(b, b"second"))
    assert b.commit(second) == second
    assert RemoteStore(b.root.with_name("c"), url).record(KEY) == second


def test_a_torn_record_counts_as_none(a: ArtifactStore, b: ArtifactStore, url: str) -> None:
    made = record(put(a, b"abc"))
    for torn in (b"", b'{"stage": "exp', b"\xff\xfe"):
        RemoteFiles(url).write(f"stages/{KEY}.json", torn)
        assert again(b).note(KEY) is None
    assert again(a).commit(made) == made
    assert RemoteStore(b.root.with_name("c"), url).note(KEY) == made


def test_a_file_is_created_once(url: str) -> None:
    files = RemoteFiles(url)
    assert files.read("stages/x") is None and files.size("stages/x") is None
    assert files.create("stages/x", b"one") and not files.create("stages/x", b"two")
    assert files.read("stages/x") == b"one" and files.size("stages/x") == 3
    files.write("stages/x", b"three")
    assert files.read("stages/x") == b"three" and files.names("stages") == ["x"]
    assert files.names("nothing") == []
    files.remove("stages/x")
    files.remove("stages/x")
    assert files.names("stages") == [] and files.read("stages/x") is None


def test_of_many_writers_at_once_one_wins(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    if url.startswith("memory"):
        pytest.skip("files in memory have no step that creates")
    files = RemoteFiles(url)
    with ThreadPoolExecutor(8) as threads:
        won = list(threads.map(lambda each: files.create("same/x", b"%d" % each), range(8)))
    assert won.count(True) == 1 and files.read("same/x") == b"%d" % won.index(True)


@pytest.mark.parametrize("part", ["", "/model", "/parts/weights", "/manifest.json"])
def test_a_damaged_object_is_not_used_and_repaired(
    a: ArtifactStore, b: ArtifactStore, url: str, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    name = put_model(a, model=b"graph", parts_weights=b"weights") if part else put(a, b"abc")
    at = f"objects/{name[:2]}/{name}"
    RemoteFiles(url).write(at + part, b"other")
    assert b.state(name) == "damaged" and RemoteFiles(url).read(at + part) == b"other"
    assert b.get(name) is None and b.names_here() == []
    assert f"{name} at {url}/{at} is damaged" in caplog.text
    assert not again(b).has(name)
    # Whoever has it whole brings it back, be it by using it.
    assert again(a).get(name) is not None
    assert again(b).get(name) is not None


def test_one_that_makes_a_damaged_object_again_repairs_it(
    a: ArtifactStore, b: ArtifactStore, url: str
) -> None:
    name = put(a, b"abc")
    RemoteFiles(url).write(f"objects/{name[:2]}/{name}", b"abd")
    assert b.get(name) is None and put(b, b"abc") == name
    assert RemoteStore(b.root.with_name("c"), url).get(name) is not None


def test_a_damaged_file_of_the_cache_is_downloaded_again(
    a: ArtifactStore, b: ArtifactStore
) -> None:
    name = put(a, b"abc")
    path = b.get(name)
    assert path is not None
    path.write_bytes(b"ab")
    assert b.get(name) == path and path.read_bytes() == b"abc"


def test_a_damaged_file_of_the_cache_is_not_uploaded(a: ArtifactStore, b: ArtifactStore) -> None:
    name = put(a, b"abc")
    path = a.get(name)
    assert path is not None
    path.write_bytes(b"ab")
    assert put(again(a), b"abc") == name and b.get(name) is not None


def test_a_manifest_cannot_write_elsewhere(a: ArtifactStore, b: ArtifactStore, url: str) -> None:
    from hashlib import sha256

    artifact = a.artifact(put_model(a, model=b"graph"))
    assert artifact is not None
    evil = replace(artifact, files=(replace(artifact.files[0], name="../../../evil"),))
    name = sha256(evil.manifest.encode()).hexdigest()
    RemoteFiles(url).write(f"objects/{name[:2]}/{name}/manifest.json", evil.manifest.encode())
    RemoteFiles(url).write("evil", b"graph")
    assert b.get(name) is None
    assert not [path for path in b.root.parent.rglob("evil") if "remote" not in path.parts]
    # Nor can a record name a file outside of the folder.
    RemoteFiles(url).write("same/x", b"../../evil")
    assert b.same("x") is None


def test_only_the_cache_is_limited_and_only_what_is_elsewhere_leaves_it(
    a: ArtifactStore, b: ArtifactStore, url: str
) -> None:
    name, other = put(a, b"abc"), put(a, b"other")
    inputs, pinned = put(a, b"inputs"), put(a, b"pinned")  # no stage made these
    Pins(a, "iris", "1").add([pinned])
    a.commit(record(name))
    a.commit(replace(record(other), key="o" * 64))
    RemoteFiles(url).remove(f"objects/{other[:2]}/{other}")
    assert a.evict(1000) == 0 and a.evict(len("other inputs pinned")) == 3
    assert a.evict(0) == 6 and set(a.names_here()) == {other, pinned}
    for store in (a, b):
        assert store.get(name) is not None and store.get(inputs) is not None


def test_pins_are_at_the_url_too(a: ArtifactStore, url: str) -> None:
    pins = Pins(a, "iris", "1")
    pins.replace(["1" * 64])
    pins.add(["2" * 64])
    assert RemoteFiles(url).read("pins/iris.1") == f"{'1' * 64}\n{'2' * 64}\n".encode()


def test_what_a_folder_held_before_is_uploaded_when_it_is_used(tmp_path: Path, url: str) -> None:
    before = ArtifactStore(tmp_path / "a")
    made = record(put_model(before, model=b"graph"))
    before.commit(made)
    now = RemoteStore(before.root, url)
    assert now.note(KEY) == made and now.get(made.output) is not None
    other = RemoteStore(tmp_path / "b", url)
    assert other.record(KEY) == made and other.artifact(made.output) == now.artifact(made.output)


def test_a_folder_as_store_needs_no_fsspec(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from paretune.runners.store.open_store import open_store\n"
        "open_store(Path(sys.argv[1])).names()\n"
        "assert 'fsspec' not in sys.modules and 'paretune.runners.store.remote_store' not in "
        "sys.modules"
    )
    done = run_python("-c", code, tmp_path / "store")
    assert done.returncode == 0, done.stderr


def test_a_protocol_that_nobody_knows_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(StoreError, match=r"a folder or a URL that fsspec knows.*got what://x"):
        open_store(tmp_path, "what://x")
    known = sys.modules["fsspec.registry"]._registry
    monkeypatch.delitem(known, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(StoreError, match=r"not installed.*pip install 'paretune\[s3\]'"):
        open_store(tmp_path, "s3://bucket/x")
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(StoreError, match=r"not installed.*pip install 'paretune\[s3\]'"):
        open_store(tmp_path, "memory://x")


def test_the_study_file_says_where_the_store_is(tmp_path: Path) -> None:
    default = OpenStudy(write_study(tmp_path))
    assert default.paths.store == tmp_path / "results" / "store" and not default.paths.store_url
    folder = OpenStudy(write_study(tmp_path, store="../shared"))
    assert folder.paths.store == tmp_path.parent / "shared" and not folder.paths.store_url
    address = f"memory://{tmp_path.name}"
    at_url = OpenStudy(write_study(tmp_path, store=address))
    assert at_url.paths.store == tmp_path / "results" / "store"
    assert isinstance(at_url.store, RemoteStore) and at_url.store.url == address
    settings = worker_settings(at_url)
    assert isinstance(settings.open_store(), RemoteStore)
