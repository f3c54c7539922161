import re
from pathlib import Path

import pytest
from conftest import IRIS, SMALL_SPACE, run_paretune, write_study

from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.configure.study_file import check_names, read_study_file
from paretune.spaces import ConfigError, WorkloadError

FIVE_MISTAKES = """\
name: wrong
workload: wrkload.py:Iris
colour: red
space:
  student: [reference, small, huge]
  pruning_ratio: [0.0, half]
  quantization: [fp32, int8-static]
  batch_size: [1, -8]
"""

FOUR_OBJECTIVES = [
    {"metric": metric}
    for metric in ("accuracy", "latency_p95_ms", "throughput_samples_per_s", "size_bytes")
]


def problems(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_study_file(path)
    return str(caught.value)


def test_five_mistakes_are_reported_together_with_where_and_how_to_fix(tmp_path: Path) -> None:
    (tmp_path / "workload.py").write_text(IRIS.read_text("utf-8"), "utf-8")
    text = (tmp_path / "workload.py").read_text("utf-8")
    # One workload class, so that the file can say which was meant.
    (tmp_path / "workload.py").write_text(text[: text.index("class Unprunable")], "utf-8")
    study = tmp_path / "study.yaml"
    study.write_text(FIVE_MISTAKES, "utf-8")

    done = run_paretune("search", study)

    assert done.returncode == 2
    assert "Traceback" not in done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert lines[0].endswith("5 mistakes")
    told = "\n".join(lines)
    for where, fix in (
        ("line 2: workload: there is no file", "write `workload: workload.py:Iris`"),
        ("line 3: colour: unknown key", "the keys here are name, workload"),
        (
            "line 5: space.student[2]: unknown student 'huge'",
            "add it to models(); Iris has reference, small",
        ),
        ("line 6: space.pruning_ratio[1]: must be a valid number", "write a number"),
        ("line 8: space.batch_size[1]: must be greater than or equal to 1", "write 1 or more"),
    ):
        assert where in told
        assert fix in told


def test_a_good_file_is_read(tmp_path: Path) -> None:
    config = read_study_file(write_study(tmp_path))
    assert config.space.batch_size == [1, 8]
    assert config.budget.trials == 10
    assert config.strategy.sampler == "auto"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"workload": None}, "missing"),
        ({"space": 3}, "write keys and values"),
        ({"space": {**SMALL_SPACE, "student": ["small"]}}, "must include 'reference'"),
        ({"space": {**SMALL_SPACE, "batch_size": []}}, "no values"),
        ({"space": {**SMALL_SPACE, "batch_size": [1, 1]}}, "lists a value twice"),
        ({"space": {**SMALL_SPACE, "batch_size": ["1"]}}, "whole number"),
        (
            {"space": {**SMALL_SPACE, "quantization": ["fp32", "int8"]}},
            "possible values: fp32, fp16, bf16, int8-static",
        ),
        ({"space": {**SMALL_SPACE, "pruning": [0.5]}}, "did you mean 'pruning_ratio'"),
        ({"rules": [{"forbid": {"batch_size": 8}}]}, "needs a `reason`"),
        ({"rules": [{"reason": "no"}]}, "either `forbid`"),
        ({"rules": [{"forbid": {"colour": 1}, "reason": "no"}]}, "unknown axis 'colour'"),
        ({"rules": 7}, "write a list"),
        ({"objectives": []}, "at least 1 item"),
        ({"constraints": [{"metric": "size_bytes"}]}, "needs `min` or `max`"),
        ({"measurement": {"min_iterations": 9, "max_iterations": 3}}, "above max_iterations"),
        ({"budget": {"trials": 0}}, "greater than or equal to 1"),
        ({"name": "no/slash"}, "pattern"),
        ({"workload": "iris.py"}, "FILE.py:CLASS"),
        ({"workload": f"{'9' * 300}.py:Iris"}, "there is no file"),
        ({"rules": [{"forbid": {"quantization": "int8"}, "reason": "r"}]}, "forbids nothing"),
        ({"rules": [{"forbid": {"batch_size": "8"}, "reason": "r"}]}, "forbids nothing"),
        ({"rules": [{"function": "none.py:rule"}]}, "there is no file"),
        ({"constraints": [{"metric": "accuracy", "min": 0.9, "max": 0.1}]}, "no value can fit"),
        ({"constraints": [{"metric": "accuracy", "min": float("nan")}]}, "finite"),
        ({"objectives": [{"metric": "size_bytes"}] * 2}, "is already an objective"),
        ({"strategy": {"seed": 2**32}}, "less than 2147483648"),
        ({"budget": {"build_timeout_s": float("inf")}}, "less than or equal to"),
        ({"space": {**SMALL_SPACE, "execution_provider": ["tvm/CPU"]}}, "unknown runner 'tvm'"),
        ({"runners": {"a": {"python": "p", "requirements": ["q"]}}}, "not both"),
    ],
)
def test_each_mistake_is_named(tmp_path: Path, changes: dict[str, object], says: str) -> None:
    assert says in problems(write_study(tmp_path, **changes))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: [unclosed", "line 1"),
        ("- a\n- b\n", "keys and values"),
        ("", "keys and values"),
        ("!!python/object/apply:os.system ['false']", "not valid YAML"),
        ("rules: &a [*a]", "contains itself"),
    ],
)
def test_what_is_not_a_study_file_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(text, "utf-8")
    assert says in problems(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "cannot read" in problems(tmp_path / "none.yaml")


def test_any_number_of_objectives_is_allowed(tmp_path: Path) -> None:
    study = write_study(tmp_path, objectives=FOUR_OBJECTIVES, strategy={"sampler": "frontier"})
    assert len(read_study_file(study).objectives or []) == 4


def test_a_repeated_key_is_reported(tmp_path: Path) -> None:
    path = write_study(tmp_path)
    path.write_text(path.read_text("utf-8") + "name: again\n", "utf-8")
    assert "name: appears twice" in problems(path)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"constraints": [{"metric": "f1", "min": 0.5}]}, "unknown metric 'f1'"),
        ({"space": {**SMALL_SPACE, "student": ["reference", "smal"]}}, "did you mean 'small'"),
        (
            {"objectives": [{"metric": "accuracy", "direction": "minimize"}]},
            "objectives[0].direction: accuracy is the workload's quality",
        ),
        (
            {"objectives": [{"metric": "accuracy", "direction": "minimize"}]},
            "the negated error from the workload",
        ),
        ({"workload": f"{IRIS}:Lilies"}, "has no 'Lilies'"),
        ({"workload": f"{IRIS}:network"}, "subclass of paretune.Workload"),
        ({"workload": f"{IRIS}:BadMetricName"}, "quality_metric must be a new name"),
        ({"workload": f"{IRIS}:Quits"}, "SystemExit"),
        ({"workload": f"{IRIS}:Objects"}, "array of Python objects"),
    ],
)
def test_names_are_checked_against_the_workload(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    study = write_study(tmp_path, **changes)
    with pytest.raises((ConfigError, WorkloadError), match=re.escape(says)):
        check_names(study, LoadedWorkload(read_study_file(study).workload, tmp_path).info)


@pytest.mark.parametrize(
    ("changes", "says", "code"),
    [
        ({"objectives": [{"metric": "latency_p95"}]}, "did you mean 'latency_p95_ms'", 2),
        ({"workload": f"{IRIS}:Lilies"}, "has no 'Lilies'", 1),
        (
            {"space": {**SMALL_SPACE, "execution_provider": ["CUDAExecutionProvidr"]}},
            "CUDAExecutionProvidr is not available here",
            1,
        ),
        ({"tracking_uri": "nonsense://x"}, "tracking: false", 1),
        ({"space": {**SMALL_SPACE, "intra_op_threads": [4096]}}, "Add values to `space`", 1),
    ],
)
def test_a_search_says_what_is_wrong_before_it_begins(
    tmp_path: Path, changes: dict[str, object], says: str, code: int
) -> None:
    done = run_paretune("search", write_study(tmp_path, **changes))
    assert done.returncode == code, done.stderr
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_an_error_in_the_workload_shows_its_own_line(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("import paretune\n\nlayers = 1 / 0\n", "utf-8")
    done = run_paretune("search", write_study(tmp_path, workload="mine.py:Mine"))
    assert "line 3 (layers = 1 / 0): ZeroDivisionError" in done.stderr
    assert "Traceback" not in done.stderr
