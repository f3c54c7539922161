"""The models that people know, and the zoo: their files are made, and wrong ends are told."""

import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
ZOO = sorted((EXPERIMENTS / "zoo").glob("*/case.yaml"))
TOOL = runpy.run_path(str(EXPERIMENTS / "benchmarks" / "as_they_are.py"))
SEARCH = {"run": "paretune search study.yaml", "expect": "frontier", "quality": [0.9, 1.0]}
GOOD = """[1/2] trial 0: fp32 · batch 1 → accuracy 0.9393, p95 ms 4, samples/s 247  ★ frontier
2 of 2 trials are done; 0 failed
published frontier: 1 points, measured again
"""


@pytest.mark.parametrize("path", ZOO, ids=lambda path: path.parent.name)
def test_a_case_says_what_must_come_of_it(path: Path) -> None:
    case = yaml.safe_load(path.read_text("utf-8"))
    assert case["title"] and case["commands"]
    for command in case["commands"]:
        assert command["run"].startswith("paretune ") and command["expect"] in TOOL["ENDS"]
    assert any((path.parent / name).is_file() for name in ("make.py", "workload.py"))


@pytest.mark.parametrize(
    ("code", "output", "fault"),
    [
        (0, GOOD, ""),
        (None, GOOD, "no end"),
        (0, GOOD.replace("0.9393", "0.3"), "the original's quality is 0.9 to 1.0"),
        (0, GOOD.replace("published", "search"), "no published frontier"),
        (1, "error: there is no file study.yaml\n", "exit code 1, expected frontier"),
        (1, "Traceback (most recent call last):\nKeyError: 3\n", "a Python traceback"),
    ],
)
def test_a_wrong_end_is_told(code: int | None, output: str, fault: str) -> None:
    assert TOOL["judged"](SEARCH, code, output)[1] == fault


def test_a_refusal_needs_a_reason() -> None:
    command = SEARCH | {"expect": "refusal"}
    assert not TOOL["judged"](command, 2, "error: the model has no batch axis\n")[1]
    assert TOOL["judged"](command, 2, "no\n")[1] == "a refusal without a reason"
    assert TOOL["judged"](command, 0, GOOD)[1] == "exit code 0, expected refusal"


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    (tmp_path / ".bin").mkdir()
    assert TOOL["run_command"]("sleep 600", tmp_path, 0.5)[0] is None


def test_magika_gets_the_features_that_it_takes_of_a_file(tmp_path: Path) -> None:
    magika = pytest.importorskip("magika", reason="needs the extra magika")
    data = runpy.run_path(str(EXPERIMENTS / "magika" / "data.py"))
    config: dict[str, Any] = {"beg_size": 1024, "mid_size": 0, "end_size": 1024}
    config |= {"padding_token": 256, "block_size": 4096}
    rng = np.random.default_rng(0)
    for size in (300, 1500, 5000):
        file = tmp_path / f"{size}.bin"
        file.write_bytes(b"  \n" + rng.integers(0, 256, size, np.uint8).tobytes() + b"\n\n ")
        with file.open("rb") as stream:
            wanted = magika.Magika._extract_features_from_seekable(
                magika.types.Seekable(stream), **config, use_inputs_at_offsets=False
            )
        row = data["features"](file, config | {"min_file_size_for_dl": 8})
        np.testing.assert_array_equal(row, wanted.beg + wanted.end)
    (tmp_path / "blank").write_bytes(b" " * 300)
    assert data["features"](tmp_path / "blank", config | {"min_file_size_for_dl": 8}) is None


def test_magika_has_files_of_many_types(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("magika", reason="needs the extra magika")
    monkeypatch.setattr(sys, "argv", ["data.py", str(tmp_path)])
    runpy.run_path(str(EXPERIMENTS / "magika" / "data.py"), run_name="__main__")
    with np.load(tmp_path / "samples.npz") as samples:
        assert samples["bytes"].dtype == np.int32 and samples["bytes"].shape[1] == 2048
        assert len(np.unique(samples["label"])) >= 20
        assert np.bincount(samples["label"]).max() <= 40
    assert (tmp_path / "model.onnx").stat().st_size > 1e6


def test_the_recognizer_reads_the_rendered_lines() -> None:
    pytest.importorskip("rapidocr", reason="needs the extra ocr")
    data = runpy.run_path(str(EXPERIMENTS / "ocr" / "data.py"))
    rng = np.random.default_rng(1)
    texts = data["lines"](rng)[:8]
    pictures = np.stack([data["picture"](text, rng) for text in texts])
    assert pictures.shape == (8, 3, 48, 192) and abs(pictures).max() <= 1
    session = onnxruntime.InferenceSession(data["model_file"](), providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {session.get_inputs()[0].name: pictures})
    assert scores.shape[2] == len(data["alphabet"]())
    metric = data["CharacterErrorRate"]()
    metric.update({"scores": scores}, np.array(texts))
    assert metric.compute() < 0.2
    metric.update({"scores": scores}, np.array(["#" * 100] * 8))
    assert metric.compute() > 0.5
