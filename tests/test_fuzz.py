"""Hostile input: any file leads to an error in plain words, never to a traceback."""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from test_model_commands import save_model

from paretune.search.cli.main import main
from paretune.search.configure.study_file import read_study_file
from paretune.spaces import ConfigError

ROOT = Path(__file__).parent.parent
STUDIES = [
    path.read_text("utf-8") for path in sorted((ROOT / "experiments").glob("*/study.yaml"))
] + [
    "name: all\nworkload: workload.py:Digits\nspace: {student: [reference]}\n"
    "objectives:\n  - {metric: accuracy, direction: maximize}\n"
    "constraints:\n  - {metric: size_bytes, max: 5000000}\n"
    "rules:\n  - {forbid: {batch_size: '> 4'}, reason: large}\n"
    "budget: {trials: 9, hours: 1.5, build_workers: 1, store_gb: 2}\n"
    "strategy: {sampler: gp, latency_first: auto, seed: 3}\n"
    "measurement: {launches: 3, min_seconds: 0.1, load: {queries_per_s: 10}}\n"
    "confirmation: {enabled: true, launches: 5}\noutput_dir: out\ntracking: false\n"
]
NASTY = [
    *["", "~", "[]", "{}", "-1", "0", "1e999", ".nan", "-.inf", "9" * 5000, "0x", "true", "''"],
    *["!!python/object/apply:os.system [touch pwned]", "!!binary aGk=", "!!set {a}", "*a", "&a b"],
    *["2026-13-45", "12:99:99", "<<: 3", "? [a]", "[[[[[[[[1]]]]]]]]", "{a: {a: {a: 1}}}", "\x00"],
    *["../../../etc/passwd:X", "é☃ 𝒳", "'> nothing'", "'>= 1e999'", "reference", "- - -", "|", "%"],
]


def mutated(rng: random.Random) -> str:
    """Return a study file with some of its values, lines or characters changed."""
    lines = rng.choice(STUDIES).splitlines()
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        lines[at : at + 1] = rng.choice(
            [
                [],
                [lines[at]] * 2,
                [f"{key}{colon} {rng.choice(NASTY)}"],
                [f"{key}: [{rng.choice(NASTY)}, {rng.choice(NASTY)}]"],
                [" " * rng.randint(0, 8) + lines[at].strip()],
                [lines[at].replace(rng.choice(lines[at] or "x"), rng.choice(NASTY))],
                [rng.choice(lines), lines[at]],
                [lines[at][: rng.randint(0, len(lines[at]))]],
            ]
        ) or [""]
    return "\n".join(lines)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_mutated_study_file_is_read_or_refused_in_words(tmp_path: Path, count: int) -> None:
    seed = int(os.environ.get("PARETUNE_SEED", time.time_ns() % 10**6))
    print(f"PARETUNE_SEED={seed}")
    rng, path, refused = random.Random(seed), tmp_path / "study.yaml", 0
    (tmp_path / "workload.py").write_text("raise SystemExit('this file was run')\n")
    for _ in range(count):
        text = mutated(rng)
        path.write_text(text, "utf-8")
        try:
            read_study_file(path)
        except ConfigError as error:
            assert len(str(error)) < 100_000, text
            refused += 1
        except BaseException as error:
            raise AssertionError(f"{error!r} from\n{text}") from error
    print(f"{count} study files, {refused} refused")
    assert refused > count / 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["study.yaml", "workload.py"]


def test_aliases_that_stand_for_billions_of_values_are_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "study.yaml"
    path.write_text("\n".join(lines), "utf-8")
    with pytest.raises(ConfigError, match="more than 10,000 values"):
        read_study_file(path)


def flip(data: bytes, rng: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(rng.choice([1, 1, 4, 16])):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def splice(data: bytes, rng: random.Random) -> bytes:
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    return data[:a] + rng.randbytes(rng.randint(0, 8)) + data[b:]


CHANGES: list[Callable[[bytes, random.Random], bytes]] = [flip, flip, cut, splice]


@pytest.mark.parametrize("count", [2, pytest.param(1000, marks=pytest.mark.slow)])
def test_a_mutated_onnx_file_is_measured_or_refused_in_words(tmp_path: Path, count: int) -> None:
    seed = int(os.environ.get("PARETUNE_SEED", time.time_ns() % 10**6))
    print(f"PARETUNE_SEED={seed}")
    rng, measured = random.Random(seed), 0
    data = save_model(tmp_path / "whole.onnx", layers=2).read_bytes()
    # Most of the file is its weights: they are left out of most changes.
    head = data[: data.index(b"weight") + 6]
    for index in range(count):
        whole = data if index % 4 == 0 else head
        changed = rng.choice(CHANGES)(whole, rng) + data[len(whole) :]
        path = tmp_path / "model.onnx"
        path.write_bytes(changed)
        done = CliRunner().invoke(main, ["measure", str(path), "--quick", "--json"])
        assert done.exception is None or isinstance(done.exception, SystemExit), (
            f"seed {seed}, file {index}: {done.exception!r}"
        )
        assert "Traceback" not in done.output
        measured += done.exit_code == 0
    print(f"{count} ONNX files, {measured} measured all the same")
