"""The parts of a study: its space, runners and evaluator."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from paretune.runners.cores import available_cores
from paretune.runners.execute.build_worker import BuildWorker
from paretune.runners.failure import Failure
from paretune.runners.fleet import fleet_host
from paretune.runners.fleet.device.description import DeviceDescription, describe
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.formats import FORMATS
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.measure.judged import Judged
from paretune.runners.measure.measurement import Measurement
from paretune.runners.measure.stored_samples import StoredPipeline
from paretune.runners.metric import latency
from paretune.runners.runtimes.process_runner import ProcessRunner
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.runtimes.runner_setup import RunnerSetup
from paretune.runners.runtimes.settings import MeasurementSettings
from paretune.runners.store.artifact_store import ArtifactStore
from paretune.runners.workload.loaded import WorkloadInfo
from paretune.runners.workload.user_code import load_attribute
from paretune.search.configure.schema import RunnerConfig, StudyConfig
from paretune.search.record.objective import Objective, default_objectives
from paretune.search.record.trial import TrialRecord
from paretune.search.storage.definition import CODE
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.samples import confirmed_samples, split_samples
from paretune.spaces import (
    AXES,
    SCHEMES,
    Forbid,
    Rule,
    SearchSpace,
    StudyError,
    ThreadLimit,
    split_target,
    whole_layers,
)


def study_space(
    config: StudyConfig,
    folder: Path,
    unfit: Mapping[str, str] | None = None,
    cores: int | None = None,
) -> SearchSpace:
    """Return a study's space with its rules and the thread limit of the machine that measures.

    Args:
        config: The study file.
        folder: The study's folder.
        unfit: Why a scheme does not apply to the model, by the scheme's name.
        cores: The cores of that machine; this one's by default.
    """
    rules: list[Rule] = [
        ThreadLimit(cores or available_cores()),
        *_runtime_rules(config),
        whole_layers,
    ]
    rules += [Forbid({"quantization": name}, reason) for name, reason in (unfit or {}).items()]
    for rule in config.rules:
        if rule.function is not None:
            rules.append(load_attribute(rule.function, folder))
        else:
            rules.append(Forbid(rule.forbid or {}, rule.reason or ""))
    values: dict[str, Any] = config.space.model_dump(mode="json")
    values |= values.pop("axes") | values.pop("pipeline")
    space = SearchSpace.from_values(values, rules)
    if next(islice(space.candidates(), 1, None), None) is None:
        raise StudyError(
            "there is nothing to try but the baseline: the rules and this machine's cores exclude "
            "all other candidates. Add values to `space`, or relax `rules`"
        )
    return space


def _runtime_rules(config: StudyConfig) -> list[Rule]:
    """Return the rules against combinations that a study's runtimes cannot run."""
    runtimes = {
        target: RUNTIMES.get(_entry(config, split_target(target)[0]).runtime)
        for target in config.space.execution_provider
    }
    rules: list[Rule] = []
    for axis in ("graph_optimization", *config.space.axes):
        deaf = [target for target, runtime in runtimes.items() if axis not in runtime.axes]
        baseline = AXES.get(axis).baseline
        others = [value for value in config.space.values_of(axis) if value != baseline]
        having = " and ".join(each.name for each in RUNTIMES if axis in each.axes) or "no runtime"
        reason = f"only {having} has {axis}"
        rules.append(Forbid({"execution_provider": deaf, axis: others}, reason))
    for names in dict.fromkeys(runtime.formats for runtime in runtimes.values()):
        targets = [target for target, runtime in runtimes.items() if runtime.formats == names]
        made = [FORMATS.get(name) for name in names]
        fit = [each.name for each in SCHEMES if any(one.takes(each) for one in made)]
        unfit = [each for each in config.space.quantization if each not in fit]
        words = " and ".join(each.words for each in made)
        reason = f"{', '.join(targets)} takes {words}, which exist in {' and '.join(fit)} only"
        rules.append(Forbid({"execution_provider": targets, "quantization": unfit}, reason))
    return rules


def study_runner(study: OpenStudy, name: str) -> ProcessRunner:
    """Return a runner of a study by name; make its environment if missing.

    Raises:
        ParetuneError: If the environment cannot be made.
    """
    return _runner_setup(study.config, name).runner(study.paths.folder)


def _runner_setup(config: StudyConfig, name: str) -> RunnerSetup:
    """Return how any machine makes a runner of a study."""
    entry = _entry(config, name)
    wanted = map(split_target, config.space.execution_provider)
    return RunnerSetup(
        name,
        entry.runtime,
        entry.python,
        None if entry.requirements is None else tuple(entry.requirements),
        entry.provider_options,
        entry.provider_libraries,
        tuple(provider for runner, provider in wanted if runner == name),
        tuple(config.plugins),
    )


def _entry(config: StudyConfig, name: str) -> RunnerConfig:
    """Return a study's entry for a runner; a runtime's own name needs no entry."""
    return config.runners.get(name) or RunnerConfig.model_validate({"runtime": name})


def study_objectives(config: StudyConfig, quality_metric: str) -> tuple[Objective, ...]:
    """Return a study's objectives, or the default ones."""
    if config.objectives is None:
        return default_objectives(quality_metric)
    return tuple(entry.objective() for entry in config.objectives)


def study_definition(
    config: StudyConfig,
    info: WorkloadInfo,
    space: SearchSpace,
    objectives: Sequence[Objective],
    machine: Mapping[str, str],
) -> dict[str, Any]:
    """Return the definition of a study, which cannot change once the study has started.

    Args:
        config: The study file's content.
        info: The description of the workload.
        space: The search space.
        objectives: The objectives.
        machine: What describes the machine that measures.
    """
    return {
        "workload": config.workload,
        CODE: workload_parts(info, space),
        "quality_metric": info.quality_metric,
        "space": {axis.name: list(axis.values) for axis in space.axes},
        "objectives": [asdict(objective) for objective in objectives],
        "constraints": [asdict(entry.constraint()) for entry in config.constraints],
        "runners": {name: entry.model_dump() for name, entry in config.runners.items()},
        "measurement": asdict(config.measurement.settings()),
        "machine": [machine["processor"], machine["cores"]],
    }


def workload_parts(info: WorkloadInfo, space: SearchSpace) -> dict[str, str]:
    """Return the digests of the parts of a workload that a study's trials depend on.

    The test split is not among them: it judges what is published, and every confirmation is made
    anew. Nor are models that the space does not try, and metrics beside the objective.
    """
    tried = {"reference", *map(str, space.axis("student").values)}
    left_out = {
        "the test split",
        "all metrics",
        *(f"the model {name}" for name in info.models if name not in tried),
    }
    return {part: each for part, each in info.parts.items() if part not in left_out}


def on_the_device(fleet: Fleet | None, ask: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function says on the machine that measures."""
    return ask(*arguments) if fleet is None else fleet.on_device(ask, *arguments)


def study_evaluator(
    study: OpenStudy,
    worker: BuildWorker,
    info: WorkloadInfo,
    store: ArtifactStore | None = None,
    fleet: Fleet | None = None,
) -> Evaluator:
    """Return the evaluator of a study's candidates; make missing environments of runners.

    Args:
        study: The study.
        worker: Provides the validation split and scores.
        info: The description of the workload.
        store: The artifact store, also the worker's; the study's by default.
        fleet: The hosts that measure: the runtimes are theirs. By default this machine measures.

    Raises:
        StudyError: If a runner cannot start, or lacks a provider of the space.
    """
    config, store = study.config, store or study.store
    store.sweep()
    folder, where = study.paths.folder, f"on the device {fleet.device}" if fleet else "here"
    names = dict.fromkeys(split_target(p)[0] for p in config.space.execution_provider)
    setups = [_runner_setup(config, name) for name in names]
    described: DeviceDescription = on_the_device(
        fleet, fleet_host.describe if fleet else describe, setups, folder
    )
    versions = {}
    for setup in setups:
        description, name = described.runners[setup.name], setup.name
        if isinstance(description, Failure):
            raise StudyError(f"cannot start the runner {name} {where}: {description.message}")
        versions[name] = description.versions
        if missing := set(setup.providers) - set(description.available):
            reasons = "".join(
                f"{provider}: {reason}. "
                for provider, reason in description.missing.items()
                if provider in missing
            )
            raise StudyError(
                f"{', '.join(missing)} is not available {where}: the runner {name} has "
                f"{', '.join(description.available)}. {reasons}Remove it from "
                "space.execution_provider; `paretune devices` shows what it needs"
            )
    pipeline = (
        StoredPipeline.of(info.pipeline, study.paths.folder, requests="") if info.pipeline else None
    )
    return Evaluator(
        {each.name: each.runner(folder, runs_here=fleet is None) for each in setups},
        versions,
        store,
        quality_metric=info.quality_metric,
        fingerprint=info.fingerprint,
        judging=info.judging,
        samples=split_samples(worker, "validation", pipeline, config.measurement.quality_samples),
        folder=folder,
        judge=worker.judge,
        settings=_settings(config),
        setups=setups,
        machine=described.machine,
    )


def _settings(config: StudyConfig) -> MeasurementSettings:
    """Return how a study measures: with calls enough for each percentile that it asks for."""
    wanted = [entry.metric for entry in (*(config.objectives or ()), *config.constraints)]
    return config.measurement.settings().claiming([*wanted, latency(config.wish.percentile)])


def study_timer(study: OpenStudy) -> Callable[[TrialRecord], Measurement | Failure]:
    """Return a function that times a confirmed study's points again, on the same samples.

    Raises:
        StudyError: If the study was not confirmed.
    """
    samples, store, config = confirmed_samples(study), study.store, study.config
    if samples is None:
        raise StudyError("the study was not confirmed: run `paretune confirm` first")
    samples.files(store, study.paths.folder)  # the reason is told before the first measurement
    settings = config.confirmation.settings(_settings(config))

    def measure(record: TrialRecord) -> Measurement | Failure:
        run = record.candidate.run
        runner = study_runner(study, run.runner)
        evaluator = Evaluator(
            {run.runner: runner},
            {run.runner: {}},
            store,
            quality_metric="",
            fingerprint="",
            judging="",
            samples=samples,
            folder=study.paths.folder,
            judge=lambda *_: Judged({}),
            settings=settings,
        )
        artifact = record.measurement.artifact if record.measurement else ""
        return evaluator.time(artifact, run, samples)

    return measure
