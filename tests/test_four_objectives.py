"""A study of four objectives runs to its end."""

from pathlib import Path

import pytest
from conftest import QUICK_CONFIRMATION, SMALL_SPACE, run_paretune, write_study

from paretune.search.study.open_study import load_history

OBJECTIVES = ["accuracy", "latency_p95_ms", "throughput_samples_per_s", "size_bytes"]


@pytest.mark.slow
def test_four_objectives_are_searched_past_the_opening_and_published(tmp_path: Path) -> None:
    study = write_study(
        tmp_path,
        # Eight candidates, so that the sampler is asked after the opening.
        space=SMALL_SPACE | {"pruning_ratio": [0.0], "quantization": ["fp32", "int8-dynamic"]},
        objectives=[{"metric": metric} for metric in OBJECTIVES],
        strategy={"sampler": "auto"},
        budget={"trials": 8},
        confirmation=QUICK_CONFIRMATION,
    )
    done = run_paretune("search", study)
    assert done.returncode == 0, done.stdout + done.stderr
    history = load_history(study)
    assert [goal.metric for goal in history.objectives] == OBJECTIVES
    assert len(history.measured) == 8
    assert history.hypervolume is not None and history.hypervolume > 0
    assert history.published
    assert run_paretune("doctor", study).returncode == 0
