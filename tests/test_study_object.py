"""The study as an object: a few lines without YAML replace the command line."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import IRIS, QUICK, QUICK_CONFIRMATION, TINY_SPACE, run_paretune, run_python

import paretune as public
from paretune import Study
from paretune.search.run.search_result import SearchResult
from paretune.spaces import ConfigError, StudyError

NOTEBOOK = """
from paretune import Study
from iris_workload import Iris

if __name__ == "__main__":
    study = Study(
        workload=Iris, space={space}, budget={{"trials": 4}}, folder={folder!r},
        strategy={{"seed": 3}}, measurement={measurement}, confirmation={confirmation},
    )
    study.run()
    rows = study.published
    frame = rows.to_frame()
    print([row.number for row in rows], len(frame), sorted(study.trials_dataframe().trial))
    study.pick(max_latency_ms=1000.0, measure=False).save({out!r})
"""


@pytest.mark.slow
def test_ten_lines_without_yaml_search_what_the_command_line_searches(tmp_path: Path) -> None:
    (tmp_path / "iris_workload.py").write_bytes(IRIS.read_bytes())
    script = tmp_path / "notebook.py"
    # Times differ from run to run, so that both try everything of a small space.
    space = {**TINY_SPACE, "student": ["reference"], "pruning_ratio": [0.0]}
    sections = {"measurement": QUICK, "confirmation": QUICK_CONFIRMATION, "space": space}
    folder, out = str(tmp_path / "ours"), str(tmp_path / "picked")
    text = NOTEBOOK.format(folder=folder, out=out, **sections)
    script.write_text(dedent(text), "utf-8")
    done = run_python(script, timeout=300)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "picked" / "manifest.json").is_file()
    study = Study(Path(folder) / "study.yaml")
    listed = run_paretune("frontier", study.file, "--format", "csv").stdout.splitlines()
    numbers = [int(line.split(",")[0]) for line in listed[1:]]
    assert numbers == [row.number for row in study.published]
    assert f"{numbers} {len(numbers)} {list(range(4))}" in done.stdout
    assert "p95 ms ↓" in repr(study.published)
    assert "<table" in study.published._repr_html_()
    assert study.plot_frontier().data
    # The command line tries the same candidates with the same seed.
    again = tmp_path / "theirs" / "study.yaml"
    again.parent.mkdir()
    again.write_text(study.file.read_text("utf-8"), "utf-8")
    assert run_paretune("search", again).returncode == 0
    ours, theirs = ({r.candidate for r in each.history.records} for each in (study, Study(again)))
    assert ours == theirs


def test_results_print_in_words(iris_study: Path) -> None:
    rows = public.frontier(iris_study)
    for shown in (repr(rows), rows._repr_html_()):
        assert "p95 ms ↓" in shown and "Gains are against the baseline" in shown
    assert rows._repr_html_().count("<tr") == len(rows) + 1
    picked = public.pick(iris_study, max_latency_ms=1000.0, measure=False)
    wish = ["--max-latency-ms", "1000", "--no-measure"]
    assert run_paretune("pick", iris_study, *wish).stdout == f"{picked}\n"
    assert repr(picked.history) == "<History: 10 trials, 10 measured, 0 skipped, 0 failed>"
    result = SearchResult(picked.history, "10 of 10 trials are done")
    assert repr(result) == "10 measured, 0 skipped, 0 failed: 10 of 10 trials are done"


def test_a_study_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="a study file, or workload= and space="):
        Study(workload="iris_workload.py:Iris")
    with pytest.raises(StudyError, match="pass either the file"):
        Study("study.yaml", folder=tmp_path)

    class Local:
        """Defined in a function: other processes cannot import it."""

    with pytest.raises(StudyError, match="top level"):
        Study(workload=Local, space={}, folder=tmp_path / "local")
    mine = tmp_path / "study.yaml"
    mine.write_text("name: mine\n", "utf-8")
    with pytest.raises(StudyError, match="your own study file"):
        Study(workload="w.py:W", space={}, folder=tmp_path)
    with pytest.raises(ConfigError, match="quantisation"):
        Study(workload="w.py:W", space={"quantisation": ["fp32"]}, folder=tmp_path / "new")


def test_the_public_face_costs_nothing_and_names_only_what_there_is() -> None:
    assert public.__all__ == sorted(public.__all__, key=lambda name: (name[0].islower(), name))
    for name in public.__all__:
        assert getattr(public, name) is not None
    heavy = ("torch", "mlflow", "optuna", "numpy")
    code = f"import paretune, sys; print(*[m for m in {heavy} if m in sys.modules])"
    assert run_python("-c", code).stdout.strip() == ""
    with pytest.raises(AttributeError, match="nonsense"):
        public.nonsense  # noqa: B018
    assert sys.modules["paretune"] is public
