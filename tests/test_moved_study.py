"""A finished study's folder is moved: everything continues from the new place."""

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from conftest import run_paretune

import paretune
from paretune.runners.measure.stored_samples import StoredPipeline, StoredSamples
from paretune.runners.runtimes.runner import PipelineFiles, Samples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.samples import confirmed_samples
from paretune.spaces import StoreError


@pytest.fixture
def moved(iris_copy: Path, tmp_path: Path) -> Iterator[Path]:
    """A finished study that was moved to another folder: its old place is gone.

    It is a copy: the shared study stays where it is, because tests beside this one read it.
    """
    place = iris_copy.parent.rename(tmp_path / "moved")
    yield place / iris_copy.name
    assert not iris_copy.parent.exists(), "something was written to the old place"


def test_a_moved_study_picks_with_the_samples_of_its_store(moved: Path, tmp_path: Path) -> None:
    picked = paretune.pick(moved, max_latency_ms=1000.0, out=tmp_path / "picked")
    assert picked.checked is not None and picked.broken == ()
    assert (tmp_path / "picked" / "inputs.npy").is_file()
    paretune.report(moved, tmp_path / "report.html")


@pytest.mark.slow
def test_a_moved_study_continues(moved: Path, tmp_path: Path) -> None:
    done = run_paretune("pick", moved, "--max-latency-ms", "1000", "--out", tmp_path / "picked")
    assert done.returncode == 0, done.stdout + done.stderr
    assert paretune.verify(tmp_path / "picked").verdict.name not in ("DAMAGED", "DOES_NOT_RUN")
    # MLflow still has the old place: doctor says so, and the next command that writes fixes it.
    [problem] = [problem for check in paretune.doctor(moved) for problem in check.problems]
    assert "the study was moved" in problem
    done = run_paretune("sync", moved)
    assert done.returncode == 0 and "logged again" in done.stderr, done.stdout + done.stderr
    assert [check.problems for check in paretune.doctor(moved) if check.problems] == []
    client = mlflow_client(f"sqlite:///{moved.parent}/results/mlflow.db")
    experiment = client.get_experiment_by_name("iris")
    assert experiment is not None
    assert experiment.artifact_location == (moved.parent / "results" / "mlartifacts").as_uri()
    # More trials can be tried.
    done = run_paretune("search", moved, "--trials", "11")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "logged again" not in done.stderr
    assert len(paretune.status(moved).records) == 11


def test_samples_kept_by_an_earlier_version_are_found_where_the_store_is(moved: Path) -> None:
    study = OpenStudy(moved)
    now, storage, store = confirmed_samples(study), study.storage, study.store
    assert now is not None and now.split == "test"
    kept = storage.confirmed()
    old = [f"/gone/results/store/objects/{name[:2]}/{name}" for name in now.inputs]
    storage.confirm(replace(kept, samples={"inputs": old, "pipeline": None}))
    # It had no targets: then they are those of the workload's split.
    assert confirmed_samples(study) == replace(now, targets="")
    path = store.get(now.inputs[0])
    assert path is not None
    path.unlink()
    with pytest.raises(StoreError, match="paretune confirm"):
        now.files(store, study.paths.folder)
    assert "missing or damaged" in run_paretune("pick", moved, "--max-latency-ms", "1000").stderr


def test_a_pipeline_is_kept_as_seen_from_the_study(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "old" / "results" / "store")
    file, around = tmp_path / "old" / "code" / "pipeline.py", tmp_path / "elsewhere.py"
    file.parent.mkdir()
    for each in (file, around):
        each.write_text("def preprocess(request): return request\n")
    (tmp_path / "requests").write_bytes(b"requests")
    name = store.put(tmp_path / "requests")
    inside, outside = (
        StoredSamples("test", (name,), StoredPipeline.of(each, tmp_path / "old", name))
        for each in (file, around)
    )
    kept = json.loads(json.dumps([asdict(inside), asdict(outside)]))
    assert kept[0]["pipeline"]["file"] == "code/pipeline.py"
    requests = store.root / "objects" / name[:2] / name
    earlier = {
        "inputs": [str(requests)],
        "pipeline": {"file": str(file), "requests": str(requests)},
    }
    new = (tmp_path / "old").rename(tmp_path / "new")
    moved = ArtifactStore(new / "results" / "store")
    there = moved.get(name)
    assert there is not None
    wanted = Samples([there], PipelineFiles(new / "code" / "pipeline.py", there))
    assert StoredSamples.from_dict(kept[0]).files(moved, new) == wanted
    assert StoredSamples.from_dict(earlier).files(moved, new) == wanted
    found = StoredSamples.from_dict(kept[1]).files(moved, new)
    assert found == Samples([there], PipelineFiles(around, there))
    (new / "code" / "pipeline.py").write_text("def preprocess(request): return 0\n")
    with pytest.raises(StoreError, match=r"pipeline\.py has changed"):
        StoredSamples.from_dict(kept[0]).files(moved, new)
    (new / "code" / "pipeline.py").unlink()
    with pytest.raises(StoreError, match=r"pipeline\.py is missing"):
        StoredSamples.from_dict(kept[0]).files(moved, new)
