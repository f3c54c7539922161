"""``paretune init``: a first study, which runs as it is."""

from pathlib import Path

import pytest
from conftest import run_paretune

import paretune
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.configure.study_file import check_names, read_study_file
from paretune.search.configure.study_of_onnx import installed_providers


def test_what_is_written_is_a_study(tmp_path: Path) -> None:
    done = run_paretune("init", tmp_path / "mine")
    assert done.returncode == 0, done.stderr
    study = tmp_path / "mine" / "study.yaml"
    assert f"next: paretune search {study}" in done.stdout
    tried = list(read_study_file(study).space.execution_provider)
    assert tried == installed_providers() and "openvino/CPU" in tried
    loaded = LoadedWorkload(read_study_file(study).workload, study.parent)
    check_names(study, loaded.info)
    again = run_paretune("init", tmp_path / "mine")
    assert again.returncode == 1 and "already has study.yaml and workload.py" in again.stderr


@pytest.mark.slow
def test_what_is_written_ends_with_a_frontier(tmp_path: Path) -> None:
    assert run_paretune("init", tmp_path).returncode == 0
    done = run_paretune("search", tmp_path / "study.yaml", "--trials", "12")
    assert done.returncode == 0, done.stdout + done.stderr
    assert paretune.status(tmp_path / "study.yaml").published
