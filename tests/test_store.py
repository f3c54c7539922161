import multiprocessing
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from paretune.runners.store.artifact import MANIFEST, Artifact, file_digest
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.stage_record import StageRecord
from paretune.spaces import StoreError


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def put(store: ArtifactStore, content: bytes) -> str:
    with store.scratch() as folder:
        (folder / "file").write_bytes(content)
        return store.put(folder / "file")


def put_model(store: ArtifactStore, **contents: bytes) -> str:
    """Put an artifact of some files into the store; the first one is given to the runtime."""
    with store.scratch() as folder:
        files = [folder / name.replace("_", "/") for name in contents]
        for file, content in zip(files, contents.values(), strict=True):
            file.parent.mkdir(exist_ok=True)
            file.write_bytes(content)
        inputs = [{"name": "x", "type": "float", "shape": ["batch", 4]}]
        artifact = Artifact.of(files, "toy", "int8", {"inputs": inputs, "outputs": []})
        assert Artifact.from_manifest(artifact.manifest) == artifact
        assert store.put_artifact(artifact, folder) == artifact.digest
    return artifact.digest


def record(output: str) -> StageRecord:
    return StageRecord("export", "k" * 64, {"opset": 21}, None, output, 1.5, {"size_bytes": 3.0})


def test_an_object_is_named_by_its_bytes(store: ArtifactStore) -> None:
    name = put(store, b"abc")
    assert name == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    path = store.get(name)
    assert path is not None and path.read_bytes() == b"abc" and file_digest(path) == name
    assert put(store, b"abc") == name


def test_a_damaged_object_is_not_given_out(store: ArtifactStore) -> None:
    name = put(store, b"abc")
    path = store.get(name)
    assert path is not None
    path.write_bytes(b"ab")
    assert store.get(name) is None
    assert put(store, b"abc") == name and store.get(name) is not None


def test_an_artifact_is_named_by_its_manifest(store: ArtifactStore) -> None:
    name = put_model(store, model=b"graph", parts_weights=b"weights")
    path, artifact = store.get(name), store.artifact(name)
    assert path is not None and path.read_bytes() == b"graph" and artifact is not None
    assert (path.parent / "parts" / "weights").read_bytes() == b"weights"
    assert file_digest(path.with_name(MANIFEST)) == name == artifact.digest
    assert [file.name for file in artifact.files] == ["model", "parts/weights"]
    assert artifact.size_bytes == 12 and artifact.inputs[0]["name"] == "x"
    # The same content is kept once; any other has another name.
    assert put_model(store, model=b"graph", parts_weights=b"weights") == name
    assert put_model(store, model=b"graph", parts_weights=b"others!") != name
    assert len(store.names()) == 2


@pytest.mark.parametrize("file", ["model", "parts/weights", MANIFEST])
@pytest.mark.parametrize("content", [b"", b"changed", None])
def test_a_damaged_artifact_is_not_given_out(
    store: ArtifactStore, file: str, content: bytes | None
) -> None:
    name = put_model(store, model=b"graph", parts_weights=b"weights")
    path = store.get(name)
    assert path is not None
    if content is None:
        (path.parent / file).unlink()
    else:
        (path.parent / file).write_bytes(content)
    assert store.state(name) == "damaged"
    assert store.get(name) is None and store.state(name) == "missing"
    assert put_model(store, model=b"graph", parts_weights=b"weights") == name
    assert store.get(name) == path


def test_what_has_been_checked_is_not_read_again(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [put_model(store, model=b"graph", weights=b"weights"), put(store, b"abc")]
    paths = [store.get(name) for name in names]
    again = "paretune.runners.store.artifact_store.object_state"
    monkeypatch.setattr(again, lambda *_: pytest.fail("it was read again"))
    assert [store.get(name) for name in names] == paths


def test_two_processes_that_keep_one_artifact_keep_it_once(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = put_model(store, model=b"graph", weights=b"weights")
    path = store.get(name)
    # The other process looked before this one had put it there.
    monkeypatch.setattr(Path, "exists", lambda _: False)
    assert put_model(store, model=b"graph", weights=b"weights") == name
    assert store.get(name) == path and store.state(name) == "whole"


def test_an_artifact_that_is_evicted_is_gone_as_a_whole(store: ArtifactStore) -> None:
    name = put_model(store, model=b"graph", weights=b"weights")
    path, size = store.get(name), store.size_bytes()
    store.commit(record(name))
    assert path is not None and size == 12 + (path.parent / MANIFEST).stat().st_size
    assert store.evict(0, keep=[name]) == 0 and store.evict(0) == size
    assert store.names() == [] and store.record("k" * 64) is None


def test_a_record_counts_only_with_its_output(store: ArtifactStore) -> None:
    name = put(store, b"abc")
    store.commit(record(name))
    assert store.record("k" * 64) == record(name)
    path = store.get(name)
    assert path is not None
    path.unlink()
    assert store.record("k" * 64) is None


@pytest.mark.parametrize("torn", [b"", b'{"stage": "exp', b"[]", b'{"stage": 1}', b"\xff\xfe"])
def test_a_torn_record_counts_as_missing(store: ArtifactStore, torn: bytes) -> None:
    store.commit(record(put(store, b"abc")))
    (store.root / "stages" / f"{'k' * 64}.json").write_bytes(torn)
    assert store.record("k" * 64) is None


def test_a_record_under_the_name_of_another_counts_as_missing(store: ArtifactStore) -> None:
    store.commit(record(put(store, b"abc")))
    stages = store.root / "stages"
    shutil.copyfile(stages / f"{'k' * 64}.json", stages / f"{'l' * 64}.json")
    assert store.record("k" * 64) is not None and store.record("l" * 64) is None


def killed(code: str, root: Path) -> None:
    """Run code with a store, until it kills its own process."""
    begin = (
        "import os, sys; from dataclasses import replace; from pathlib import Path\n"
        "from paretune.runners.store.artifact_store import ArtifactStore\n"
        "store = ArtifactStore(Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, "-c", begin + code, root])
    assert done.returncode == -signal.SIGKILL


def test_a_record_half_written_leaves_the_one_before(store: ArtifactStore) -> None:
    store.commit(record(put(store, b"abc")))
    killed(
        "os.fsync = lambda _: os.kill(os.getpid(), 9)\n"
        "store.commit(replace(store.note('k' * 64), seconds=9.0))",
        store.root,
    )
    assert store.record("k" * 64) == record(put(store, b"abc"))


def test_the_claim_of_a_killed_process_ends_with_it(store: ArtifactStore) -> None:
    killed("with store.claim('k' * 64): os.kill(os.getpid(), 9)", store.root)
    signal.alarm(60)  # a claim that stays would be waited for without end
    try:
        with store.claim("k" * 64):
            pass
    finally:
        signal.alarm(0)


def test_nothing_is_left_in_scratch(store: ArtifactStore) -> None:
    put(store, b"abc")
    store.commit(record(put(store, b"abc")))
    assert list((store.root / "scratch").iterdir()) == []


def test_what_a_killed_process_left_in_scratch_is_removed_and_the_rest_stays(
    store: ArtifactStore,
) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from paretune.runners.store.artifact_store import ArtifactStore\n"
        "with ArtifactStore(Path(sys.argv[1])).scratch() as folder: os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, store.root])
    [left] = (store.root / "scratch").iterdir()
    with store.scratch() as held:
        assert store.leftovers() == [left]
        store.sweep()
        assert list((store.root / "scratch").iterdir()) == [held.parent]


def test_a_folder_that_is_being_made_is_not_swept(
    store: ArtifactStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Swept(tempfile.TemporaryDirectory[str]):
        """Is made at the worst moment: another process sweeps before it can be held."""

        def __init__(self, **arguments: Path) -> None:
            super().__init__(**arguments)
            ArtifactStore(store.root).sweep()

    monkeypatch.setattr(tempfile, "TemporaryDirectory", Swept)
    with store.scratch() as folder:
        (folder / "file").write_bytes(b"abc")


def test_a_store_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="output_dir"):
        ArtifactStore(tmp_path / "file" / "store")


def _claim_and_log(root: Path, key: str) -> None:
    store = ArtifactStore(root)
    with store.claim(key):
        if store.record(key) is None:
            store.log("started", "slow", key)
            time.sleep(0.2)
            store.commit(StageRecord("slow", key, {}, None, "", 0.2))
            store.log("finished", "slow", key)


def test_a_claim_lets_one_process_run_a_stage(tmp_path: Path) -> None:
    keys = ["a" * 64, "b" * 64]
    spawn = multiprocessing.get_context("spawn")
    wanting = [spawn.Process(target=_claim_and_log, args=(tmp_path, key)) for key in keys * 2]
    for process in wanting:
        process.start()
    for process in wanting:
        process.join()
    events = [(entry["event"], entry["key"]) for entry in ArtifactStore(tmp_path).executions()]
    assert sorted(events) == sorted((e, key) for e in ("started", "finished") for key in keys)


def test_a_torn_line_of_the_log_is_left_out(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path)
    store.log("started", "export", "a" * 64)
    with (tmp_path / "executions.jsonl").open("a") as file:
        file.write('{"event": "fin')
    assert [entry["event"] for entry in store.executions()] == ["started"]


def test_what_is_cheapest_to_make_again_is_evicted_first(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "store")
    outputs = {}
    stages = {"reference": 0.1, "distill": 50.0, "export": 1.0, "quantize": 9.0}
    for stage, seconds in stages.items():
        file = tmp_path / stage
        file.write_bytes((stage * 10).encode()[:10] * 600)
        outputs[stage] = store.put(file)
        store.commit(StageRecord(stage, stage * 8, {}, None, outputs[stage], seconds))
    inputs = tmp_path / "inputs"
    inputs.write_bytes(b"inputs" * 1000)
    outputs["inputs"] = store.put(inputs)
    whole = store.size_bytes()
    assert store.evict(whole) == 0
    assert store.evict(whole - 1) == 6000
    assert store.get(outputs["export"]) is None and store.record("export" * 8) is None
    noted = store.note("export" * 8)
    assert noted is not None and noted.seconds == 1.0
    store.evict(0, keep=[outputs["quantize"]])
    left = {stage for stage, digest in outputs.items() if store.get(digest)}
    assert left == {"reference", "quantize", "inputs"}
