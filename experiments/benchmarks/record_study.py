"""Write down a study whose every candidate was measured, for measured_study.py.

    paretune search experiments/tones/whole.yaml    # about an hour; let nothing else run
    python experiments/benchmarks/record_study.py experiments/tones/whole.yaml
        [--out experiments/benchmarks/tones.json.gz]

The study has the sampler `exhaustive`, trains everything (`latency_first: never`) and has the axes
of build and run that measured_study.py knows. The file holds each launch of each candidate, the
accuracy of each file, and the seconds and the accuracy after each stage. The seconds per epoch are
timed now, as a search does before it begins.
"""

import argparse
import gzip
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured_study import build_name, stage_name

from paretune.runners.build.epoch_time import epoch_seconds
from paretune.runners.build.plan import TRAINING_STAGES
from paretune.runners.measure.launch_statistics import percentile
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.record.trial import TrialRecord
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_space

RECIPE = ("reference_epochs", "distill_epochs", "fine_tune_epochs", "short_share")


def main() -> int:
    """Write the file; return 1 if a candidate has not been measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("tones.json.gz"))
    asked = parser.parse_args()
    study = OpenStudy(asked.study)
    records = study.history().records
    space = study_space(study.config, study.paths.folder)
    measured = {each.candidate.digest for each in records if each.measurement is not None}
    missing = [each for each in space.candidates() if each.digest not in measured]
    if missing:
        print(f"{len(missing)} of {space.size} candidates have not been measured: search on")
        return 1
    loaded = LoadedWorkload(study.config.workload, study.paths.folder)
    recipe = loaded.info.recipe
    began = time.perf_counter()
    epochs = epoch_seconds(loaded)
    kept = {
        "study": study.name,
        "machine": study.definition["machine"],
        "space": {axis.name: list(axis.values) for axis in space.axes},
        "recipe": {name: getattr(recipe, name) for name in RECIPE},
        "timing_seconds": round(time.perf_counter() - began, 2),
        "epoch_seconds": {name: round(each, 4) for name, each in epochs.items()},
        "candidates": {r.candidate.digest: candidate(study, r) for r in records if r.measurement},
        "accuracies": {
            build_name(r.candidate.build): r.metrics["accuracy"] for r in records if r.measurement
        },
        "stage_seconds": stages(records, "stage_seconds"),
        "stage_accuracies": stages(records, "stage_quality"),
    }
    asked.out.write_bytes(gzip.compress(json.dumps(kept).encode(), mtime=0))
    print(f"{len(kept['candidates'])} candidates, {asked.out.stat().st_size / 1e3:.0f} kB")
    of_stages = kept["stage_seconds"].items()
    trained = sum(s for name, s in of_stages if name.partition(",")[0] in TRAINING_STAGES)
    timed = sum(each["seconds"] for each in kept["candidates"].values())
    rest = sum(kept["stage_seconds"].values()) - trained
    print(f"seconds: {trained:.0f} of trainings, {rest:.0f} of other stages, {timed:.0f} of timing")
    return 0


def candidate(study: OpenStudy, record: TrialRecord) -> dict[str, Any]:
    """Return p95 and throughput of each launch, and the seconds of the measurement."""
    assert record.measurement is not None
    path = study.store.get(record.measurement.samples)
    assert path is not None, "the store has lost the launches"
    with np.load(path) as launches:
        times = [launches[f"launch_{i}_latency_ms"] for i in range(len(launches.files))]
    batch = record.candidate.run.batch_size
    return {
        "launches": [
            [float(f"{percentile(each, 95):.5g}"), float(f"{1e3 * batch / each.mean():.5g}")]
            for each in times
        ],
        "seconds": round(record.stage_seconds["measure"], 2),
    }


def stages(records: list[TrialRecord], attribute: str) -> dict[str, float]:
    """Return what the trials recorded for each stage, by its name with what it depends on."""
    return {
        stage_name(stage, record.candidate.build): round(value, 4)
        for record in records
        for stage, value in getattr(record, attribute).items()
        if stage not in ("reference", "measure", "evaluate")
    }


if __name__ == "__main__":
    sys.exit(main())
