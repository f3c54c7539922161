"""A study of earlier versions: models as single files, and stages under keys of another kind."""

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from conftest import IRIS, run_paretune

from paretune.runners.build.builder import Builder
from paretune.runners.build.built import Built
from paretune.runners.build.stages import stage_version
from paretune.runners.store.artifact import MANIFEST, Artifact
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.storage.definition import CODE
from paretune.search.study.open_study import load_history
from paretune.spaces import BuildSpec, Quantization, digest

FINGERPRINT = digest("code and data, in one digest")


def as_earlier_versions_wrote_it(study: Path) -> None:
    """Turn each artifact into a single file named by its bytes, and rename it everywhere.

    Stages get the keys that they had: of the whole workload and of the parent's output.
    """
    results = study.parent / "results"
    store, names = results / "store", {}
    for manifest in list(store.glob(f"objects/*/*/{MANIFEST}")):
        folder = manifest.parent
        [file] = Artifact.from_manifest(manifest.read_text("utf-8")).files
        names[folder.name] = file.sha256
        target = store / "objects" / file.sha256[:2] / file.sha256
        target.parent.mkdir(exist_ok=True)
        (folder / file.name).rename(target)
        shutil.rmtree(folder)
    stages = store / "stages"
    for path in list(stages.iterdir()):
        values = json.loads(path.read_text("utf-8"))
        if values["stage"] != "evaluate":
            depends_on = {
                "workload": FINGERPRINT,
                "stage": values["stage"],
                "version": stage_version(values["stage"]),
                "params": values["params"],
                "parent": names.get(values["parent"], values["parent"]),
            }
            names[values["key"]] = digest(depends_on)
            path.rename(stages / f"{names[values['key']]}.json")
    shutil.rmtree(store / "same")
    texts = [*stages.iterdir(), *store.glob("outcomes/*"), *store.glob("pins/*")]
    for path in (*texts, store / "executions.jsonl"):
        text = path.read_text("utf-8")
        for new, old in names.items():
            text = text.replace(new, old)
        path.write_text(text, "utf-8")
    [database] = [path for path in results.glob("*.db") if path.name != "mlflow.db"]
    with closing(sqlite3.connect(database)) as connection, connection:
        for (table,) in connection.execute(
            "select name from sqlite_master where type = 'table'"
        ).fetchall():
            columns = connection.execute(f"pragma table_info({table})").fetchall()
            for column in [name for _, name, kind, *_ in columns if "TEXT" in kind]:
                for new, old in names.items():
                    connection.execute(
                        f"update {table} set {column} = replace({column}, ?, ?)", (new, old)
                    )
        [[text]] = connection.execute(
            "select value_json from study_user_attributes where key = 'paretune_definition'"
        ).fetchall()
        definition = {**json.loads(text), CODE: FINGERPRINT}
        connection.execute(
            "update study_user_attributes set value_json = ? where key = 'paretune_definition'",
            [json.dumps(definition)],
        )


@pytest.fixture
def workload() -> LoadedWorkload:
    return LoadedWorkload(f"{IRIS}:Iris", IRIS.parent)


@pytest.fixture
def study(iris_copy: Path) -> Path:
    values = yaml.safe_load(iris_copy.read_text("utf-8"))
    iris_copy.write_text(yaml.safe_dump(values | {"tracking": False}), "utf-8")
    as_earlier_versions_wrote_it(iris_copy)
    assert not list(iris_copy.parent.rglob(MANIFEST))
    return iris_copy


def test_what_was_built_is_still_there_and_what_is_new_is_built_anew(
    study: Path, workload: LoadedWorkload
) -> None:
    store = ArtifactStore(study.parent / "results" / "store")
    for record in load_history(study).measured:
        assert record.measurement is not None
        artifact = record.measurement.artifact
        assert store.state(artifact) == "whole" and store.artifact(artifact) is None
        assert store.model_bytes(artifact) == record.metrics["size_bytes"]
    # The key of an old store cannot be derived any more: nothing is found by it, or lost.
    spec, names = BuildSpec("reference", 0.0, Quantization.INT8_WEIGHT, 0.5), set(store.names())
    built = Builder(workload, store).build(spec)
    assert isinstance(built, Built)
    assert set(built.stage_seconds) == {"reference", "export", "quantize"}
    assert store.artifact(built.artifact) is not None and names < set(store.names())


@pytest.mark.slow
def test_the_study_goes_on(study: Path, tmp_path: Path) -> None:
    published = [record.number for record in load_history(study).published]
    done = run_paretune("search", study, "--trials", "12")
    assert done.returncode == 0 and "by an earlier version" in done.stderr, done.stderr
    assert published and set(published) <= {r.number for r in load_history(study).records}
    for command in (
        ["doctor", study],
        ["search", study, "--trials", "12"],
        ["pick", study, "--no-measure", "--out", tmp_path / "picked"],
        ["doctor", study],
    ):
        done = run_paretune(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "earlier version" not in done.stderr
    assert len(load_history(study).records) == 12
    store = ArtifactStore(study.parent / "results" / "store")
    begun = [entry["key"] for entry in store.executions() if entry["event"] == "started"]
    assert len(begun) == len(set(begun))
