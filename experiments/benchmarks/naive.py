"""The loop that a good engineer writes in an afternoon: sample, train, compress, measure, repeat.

    python experiments/benchmarks/naive.py STUDY.yaml STORE SECONDS SEED OUT.json [--cache]

Optuna as its documentation shows it (``study.optimize`` with the default sampler for several
objectives), over the axes of a study file; axes with an order are integers. The stages and the
measurement are Paretune's own; everything around them is missing: every trial builds from the
reference again, and nothing is known before the training. STORE holds the trained reference and its
ONNX file. With --cache, no stage is built twice.
"""

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import optuna
from plain_trial import suggested

from paretune.runners.build.builder import Builder
from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.worker_jobs import WorkerSettings
from paretune.runners.failure import Failure
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import LoadedWorkload
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_evaluator, study_space


def run(
    study_file: Path, store: Path, seconds: float, seed: int, out: Path, *, has_cache: bool
) -> None:
    """Search for a number of seconds; write ``[seconds since the start, metrics]`` per trial."""
    started = time.time()
    opened = OpenStudy(study_file)
    config, paths = opened.config, opened.paths
    loaded = LoadedWorkload(config.workload, paths.folder)
    space = study_space(config, paths.folder)
    found: list[tuple[float, dict[str, float]]] = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        shutil.copytree(store, work / "measured")
        settings = WorkerSettings(config.workload, paths.folder, work / "measured", work / "log")
        with BuildPool(settings) as pool:
            info = pool.describe()
            evaluator = study_evaluator(
                opened, pool.service, info, ArtifactStore(work / "measured")
            )

            def objective(trial: optuna.Trial) -> tuple[float, ...]:
                candidate = suggested(trial, space)
                if space.reason_against(candidate):
                    raise optuna.TrialPruned
                with tempfile.TemporaryDirectory(dir=work) as folder:
                    kept = evaluator.store
                    if not has_cache:
                        shutil.copytree(store, Path(folder) / "store")
                        kept = ArtifactStore(Path(folder) / "store")
                    built = Builder(loaded, kept).build(candidate.build)
                    if isinstance(built, Failure):
                        raise optuna.TrialPruned
                    if not has_cache:
                        copy(built.artifact, kept, evaluator.store)
                    outcome = evaluator.measure(built.artifact, candidate.run, evaluator.samples)
                if isinstance(outcome, Failure):
                    raise optuna.TrialPruned
                found.append((time.time() - started, outcome.metrics))
                out.write_text(json.dumps(found), "utf-8")
                goals = ("latency_p95_ms", "throughput_samples_per_s")
                return outcome.metrics[info.quality_metric], *(outcome.metrics[g] for g in goals)

            study = optuna.create_study(
                directions=["maximize", "minimize", "maximize"],
                sampler=optuna.samplers.TPESampler(seed=seed),
            )
            study.optimize(objective, timeout=seconds)


def copy(name: str, source: ArtifactStore, target: ArtifactStore) -> None:
    """Copy an artifact to another store."""
    path, artifact = source.get(name), source.artifact(name)
    if path is not None and artifact is not None:
        with target.scratch() as folder:
            shutil.copytree(path.parent, folder / "copy")
            target.put_artifact(artifact, folder / "copy")


def main() -> None:
    """Search."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("study", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", action="store_true", help="build no stage twice")
    asked = parser.parse_args()
    run(asked.study, asked.store, asked.seconds, asked.seed, asked.out, has_cache=asked.cache)


if __name__ == "__main__":
    main()
