"""A finished study's folder is moved: everything continues from the new place."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import run_paretune

import paretune
from paretune.runners.runtimes.runner import PipelineFiles, Samples
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.search.review.mlflow.client import mlflow_client
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import confirmed_samples
from paretune.spaces import StoreError


@pytest.fixture
def moved(iris_study: Path, tmp_path: Path) -> Iterator[Path]:
    """The finished study in another folder; its old place is empty meanwhile."""
    shutil.copytree(iris_study.parent, tmp_path / "moved")
    away = iris_study.parent.with_name("away")
    iris_study.parent.rename(away)
    try:
        yield tmp_path / "moved" / iris_study.name
        assert not iris_study.parent.exists(), "something was written to the old place"
    finally:
        shutil.rmtree(iris_study.parent, ignore_errors=True)
        away.rename(iris_study.parent)


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
    now, storage = confirmed_samples(study), study.storage
    assert now is not None
    kept = storage.confirmed()
    old = [f"/gone/results/store/objects/{path.name[:2]}/{path.name}" for path in now.inputs]
    storage.confirm(replace(kept, samples={"inputs": old, "pipeline": None}))
    assert confirmed_samples(study) == now
    Path(now.inputs[0]).unlink()
    with pytest.raises(StoreError, match="paretune confirm"):
        confirmed_samples(study)
    assert "missing or damaged" in run_paretune("pick", moved, "--max-latency-ms", "1000").stderr


def test_a_pipeline_is_kept_as_seen_from_the_study(tmp_path: Path) -> None:
    store = ArtifactStore(tmp_path / "old" / "results" / "store")
    file, around = tmp_path / "old" / "code" / "pipeline.py", tmp_path / "elsewhere.py"
    file.parent.mkdir()
    for each in (file, around):
        each.write_text("def preprocess(request): return request\n")
    (tmp_path / "requests").write_bytes(b"requests")
    requests = store.get(store.put(tmp_path / "requests"))
    assert requests is not None
    inside = Samples([requests], PipelineFiles(file, requests))
    outside = Samples([requests], PipelineFiles(around, requests))
    kept = json.loads(json.dumps([s.as_dict(tmp_path / "old") for s in (inside, outside)]))
    earlier = {
        "inputs": [str(requests)],
        "pipeline": {"file": str(file), "requests": str(requests)},
    }
    new = (tmp_path / "old").rename(tmp_path / "new")
    moved = ArtifactStore(new / "results" / "store")
    there = moved.get(requests.name)
    assert there is not None
    wanted = Samples([there], PipelineFiles(new / "code" / "pipeline.py", there))
    assert Samples.from_dict(kept[0], moved, new) == wanted
    assert Samples.from_dict(earlier, moved, new) == wanted
    assert Samples.from_dict(kept[1], moved, new) == Samples([there], PipelineFiles(around, there))
    (new / "code" / "pipeline.py").unlink()
    with pytest.raises(StoreError, match=r"pipeline\.py"):
        Samples.from_dict(kept[0], moved, new)
