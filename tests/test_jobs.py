"""Jobs and outcomes are data: through JSON and back they are the same, and keys tell them apart."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from paretune.runners.build.built import Built, Training
from paretune.runners.execute import job as jobs
from paretune.runners.execute.job import Build, Job, Launch, Measure, Missing, Score, Train
from paretune.runners.execute.outcome import Outcome
from paretune.runners.execute.outcomes import Outcomes
from paretune.runners.failure import Failure, FailureKind
from paretune.runners.measure.campaign import Launched
from paretune.runners.measure.evaluator import Scored
from paretune.runners.measure.stored_samples import StoredPipeline, StoredSamples
from paretune.runners.runtimes import launch as launches
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.store.stage_record import StageRecord
from paretune.search.record.trial import TrialRecord
from paretune.spaces import BuildSpec, RecordError, RunSpec

SPEC = BuildSpec("small", 0.5, "int8-static", 0.1)  # type: ignore[arg-type]
RUN = RunSpec("onnxruntime", "CPUExecutionProvider", 8, 2, "basic")  # type: ignore[arg-type]
SAMPLES = StoredSamples("test", ("2" * 64,), StoredPipeline("pipeline.py", "3" * 64, "4" * 64))
EXAMPLES: list[Job] = [
    Missing(SPEC, "pt2", given="g", occasion="trial 1"),
    Train(SPEC, "fine-tune-short", given="g", occasion="trial 1"),
    Build(SPEC, "pt2", is_skeleton=True, given="g", occasion="trial 1"),
    Measure("0" * 64, RUN, SAMPLES, with_quality=False, given="g", occasion="trial 1"),
    Score("0" * 64, RUN, SAMPLES, given="g", occasion="trial 1"),
    Launch("0" * 64, RUN, SAMPLES, 7, given="g", occasion="trial 1"),
]
LAUNCH = launches.Launch(
    1.0,
    2.0,
    3,
    True,
    (1.0, 1.5),
    1.0,
    0.9,
    0.0,
    10**6,
    0.1,
    5.0,
    launches.EndToEnd((0.1,), (0.2,), (1.3,)),
    {"p50_ms": 1.0},
    0.2,
)


def through_json(values: dict[str, Any]) -> Any:
    return json.loads(json.dumps(values))


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store")


def put(store: ArtifactStore, content: bytes) -> Path:
    file = store.root / "file"
    file.write_bytes(content)
    path = store.get(store.put(file))
    assert path is not None
    return path


def test_there_is_an_example_of_every_kind() -> None:
    assert {type(job) for job in EXAMPLES} == set(jobs._KINDS.values())


@pytest.mark.parametrize("job", EXAMPLES, ids=lambda job: type(job).__name__)
def test_a_job_goes_through_json_and_back(job: Job) -> None:
    again = Job.from_dict(through_json(job.as_dict()))
    assert again == job and type(again) is type(job) and again.key == job.key


def test_a_job_with_values_of_further_axes_goes_through_json_and_back() -> None:
    job = Measure("0" * 64, replace(RUN, options=(("row_block", 4), ("streams", "two"))), SAMPLES)
    again = Job.from_dict(through_json(job.as_dict()))
    assert again == job and again.key == job.key


def test_a_key_is_made_of_all_that_the_outcome_depends_on() -> None:
    build, measure = EXAMPLES[2], EXAMPLES[3]
    different = [
        *EXAMPLES,
        replace(build, spec=replace(SPEC, pruning_ratio=0.25)),
        replace(build, model_format="onnx"),
        replace(build, is_skeleton=False),
        replace(build, given="other data, code, settings or versions"),
        replace(build, occasion="trial 2"),
        replace(measure, artifact="1" * 64),
        replace(measure, run=replace(RUN, batch_size=1)),
        replace(measure, run=replace(RUN, options=(("row_block", 4),))),
        replace(measure, with_quality=True),
        replace(measure, samples=replace(SAMPLES, split="validation")),
        replace(measure, samples=replace(SAMPLES, inputs=("5" * 64,))),
        replace(measure, samples=replace(SAMPLES, pipeline=None)),
    ]
    assert len({job.key for job in different}) == len(different)


@pytest.mark.parametrize(
    "change", [{"job": "paint"}, {"schema": 99}, {"schema": None}, {"colour": "red"}]
)
def test_a_job_of_another_release_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(RecordError, match="this release has no job"):
        Job.from_dict({**EXAMPLES[2].as_dict(), **change})


def outcomes(store: ArtifactStore, record: TrialRecord) -> list[Outcome]:
    path, samples = put(store, b"a model"), put(store, b"samples")
    lineage = StageRecord("export", "k" * 64, {"epochs": 3}, None, path.name, 0.3, {"quality": 0.9})
    assert record.measurement is not None
    return [
        Outcome(("distill", "export"), 0.1),
        Outcome(Training({"distill": 0.9}, {"distill": 0.2}, {"distill": [0.5, 0.4]}), 0.2),
        Outcome(Built(path.name, (lineage,), {"export": 0.3}), 0.3),
        Outcome(replace(record.measurement, samples=samples.name, resampled=(0.5, 0.75)), 0.4),
        Outcome(Scored(0.9, (0.8, 1.0), {"CPUExecutionProvider": ProviderShare(4, 1.0, 1.0)}), 0.5),
        Outcome(Launched(LAUNCH, host_was_idle=False), 0.5),
        Outcome(Failure("prune", FailureKind.INVALID, "no channel left", "a log"), 0.5),
    ]


def test_every_outcome_goes_through_json_and_back(
    store: ArtifactStore, make_record: Callable[..., TrialRecord]
) -> None:
    for outcome in outcomes(store, make_record(0, {"latency_p95_ms": 1.0})):
        assert Outcome.from_dict(through_json(outcome.as_dict()), store.get) == outcome


def test_an_outcome_the_file_of_which_is_gone_is_none(
    store: ArtifactStore, make_record: Callable[..., TrialRecord]
) -> None:
    _, _, built, measured, *_ = outcomes(store, make_record(0, {"latency_p95_ms": 1.0}))
    for outcome, file in ((built, built.value.artifact), (measured, measured.value.samples)):
        values = through_json(outcome.as_dict())
        store_file = store.root / "objects" / Path(file).name[:2] / Path(file).name
        store_file.unlink()
        assert Outcome.from_dict(values, store.get) is None


@pytest.mark.parametrize("values", [{}, {"kind": "picture", "value": {}, "seconds": 1.0}])
def test_an_outcome_of_another_release_is_refused(
    store: ArtifactStore, values: dict[str, Any]
) -> None:
    with pytest.raises(RecordError, match="this release has no such outcome"):
        Outcome.from_dict(values, store.get)


def test_a_store_keeps_what_came_of_a_job(store: ArtifactStore) -> None:
    training = Training({"distill": 0.9}, {"distill": 0.2}, {})
    job, times = EXAMPLES[1], []

    def do() -> Training:
        times.append(1)
        return training

    first = Outcomes(store).once(job, do)
    again = Outcomes(ArtifactStore(store.root))  # as another process opens it
    assert first.value == training and again.once(job, do) == again.kept(job) == first
    assert len(times) == 1
    # A torn file, as a power cut leaves it on some disks, is as good as none.
    [file] = (store.root / "outcomes").iterdir()
    file.write_text(file.read_text("utf-8")[:-20], "utf-8")
    assert again.kept(job) is None and again.once(job, do).value == training
    assert len(times) == 2


def test_a_job_means_the_same_where_the_store_has_been_copied_to(
    store: ArtifactStore, make_record: Callable[..., TrialRecord], tmp_path: Path
) -> None:
    done = outcomes(store, make_record(0, {"latency_p95_ms": 1.0}))
    for job, outcome in zip(EXAMPLES[1:5], (done[1], done[2], done[3], done[4]), strict=True):
        Outcomes(store).once(job, lambda value=outcome.value: value)
    there = ArtifactStore(Path(shutil.copytree(store.root, tmp_path / "elsewhere")))
    store.root.rename(tmp_path / "gone")
    for job, outcome in zip(EXAMPLES[1:5], (done[1], done[2], done[3], done[4]), strict=True):
        text = json.dumps(job.as_dict())
        kept = Outcomes(there).kept(Job.from_dict(json.loads(text)))
        assert kept is not None and kept.value == outcome.value
        assert str(tmp_path) not in text + json.dumps(kept.as_dict())


def test_neither_failures_nor_questions_are_kept(store: ArtifactStore) -> None:
    outcomes = Outcomes(store)
    failure = Failure("export", FailureKind.CRASH, "killed")
    assert outcomes.once(EXAMPLES[2], lambda: failure).value == failure
    assert outcomes.once(EXAMPLES[0], lambda: ("export",)).value == ("export",)
    assert outcomes.kept(EXAMPLES[2]) is outcomes.kept(EXAMPLES[0]) is None
