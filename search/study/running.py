"""A study that runs: from a study file to the loop, and to the confirmation at its end."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from paretune.runners import gpu
from paretune.runners.cores import limits_in_words
from paretune.runners.environment import fingerprint
from paretune.runners.execute.build_pool import BuildPool
from paretune.runners.execute.training_cards import training_cards
from paretune.runners.fleet.device.description import without_energy
from paretune.runners.fleet.fleet import Fleet
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.metric import METRICS
from paretune.runners.runtimes.lease import CPU, lease, waiting_until
from paretune.runners.store.use import StoreUse
from paretune.runners.telemetry import switch_off_telemetry
from paretune.runners.workload.loaded import WorkloadInfo
from paretune.search.configure.study_file import check_names
from paretune.search.propose.cost import CostModel
from paretune.search.propose.exclusions import GivenUp
from paretune.search.propose.time_limit import Affordable
from paretune.search.record.history import History
from paretune.search.record.objective import Constraint, Objective
from paretune.search.record.under_way import UnderWay
from paretune.search.review.terminal.trial_line import clock
from paretune.search.run.baseline import beside_baseline
from paretune.search.run.budget import Budget
from paretune.search.run.ending import ending
from paretune.search.run.loop import Loop
from paretune.search.run.news import TrainingNews
from paretune.search.run.owners_tracking import OwnersTracking
from paretune.search.run.reporter import Reporter
from paretune.search.run.search_result import SearchResult
from paretune.search.run.store_limit import StoreLimit
from paretune.search.storage.database import is_for_one
from paretune.search.storage.study_versions import check_versions
from paretune.search.study.build_workers import default_workers, worker_settings
from paretune.search.study.confirming import confirm_and_publish, study_confirmation
from paretune.search.study.executing import study_executor
from paretune.search.study.mlflow_study import guarded_tracking
from paretune.search.study.open_study import OpenStudy, describe_workload, load_history
from paretune.search.study.parts import (
    on_the_device,
    study_definition,
    study_evaluator,
    study_objectives,
    study_space,
)
from paretune.search.study.proposing import study_strategy
from paretune.spaces import RunSpec, SearchSpace, StudyError, split_target

_LOG = logging.getLogger("paretune")


def run_study(
    path: Path,
    reporter: Reporter,
    trials: int | None = None,
    hours: float | None = None,
    wish: Mapping[str, Any] | None = None,
    fleet: Fleet | None = None,
    *,
    joins: bool = False,
) -> SearchResult:
    """Run a study, or continue it, until its budget is spent.

    Args:
        path: The study file.
        reporter: Told about progress.
        trials: Overrides the study file's ``budget.trials``.
        hours: Overrides the study file's ``budget.hours``.
        wish: Overrides the study file's ``wish``, by attribute of :class:`Wish`.
        fleet: The hosts that build and measure; by default this machine does both.
        joins: Help the process that owns the study, if there is one: share its trials, and leave
            MLflow, the store's limit and the confirmation to it.

    Raises:
        ConfigError: If the study file has mistakes, or the wish does not fit it.
        StudyError: If the study was started with another definition, is being searched by another
            process and cannot be joined, or every candidate fails for the same reason.
        DeviceBusyError: If another process held the device for all of the hours.
    """
    started = time.monotonic()
    study = OpenStudy(path, describe_workload)
    config, paths, store = study.config, study.paths, study.store
    if joins and is_for_one(paths.storage_url):
        raise StudyError(
            f"--join needs a database for several writers, but the study {study.name!r} is in "
            f"SQLite ({paths.storage_url}), which is for one writer: leave out --join, or set "
            "`storage: postgresql+psycopg://USER@HOST/DATABASE` in the study file (a new study)"
        )
    sought = config.wish.to_wish(config.space.batch_size, wish or {})
    if limits := limits_in_words(min(config.space.intra_op_threads)):
        _LOG.warning(limits)
    switch_off_telemetry()
    if config.tracking:
        # MLflow takes seconds to import; meanwhile another process loads the workload.
        threading.Thread(target=import_module, args=("mlflow.tracking",), daemon=True).start()
    budget = Budget(trials or config.budget.trials, hours or config.budget.hours)
    cards = training_cards()
    workers = config.budget.build_workers or default_workers(config, len(cards))
    # The study is released last, after its workers have ended.
    with (
        study.placed(joins=joins),
        ExitStack() as owning,
        StoreUse(store) as use,
        BuildPool(worker_settings(study), workers, cards) as pool,
    ):
        reporter.preparing("loading the workload")
        info = pool.describe()
        check_names(path, info)
        machine = fleet.machine() if fleet else fingerprint()
        space = study_space(
            config, paths.folder, info.unfit, int(machine["cores"]) if fleet else None
        )
        objectives = study_objectives(config, info.quality_metric)
        constraints = [entry.constraint() for entry in config.constraints]
        storage = study.storage
        definition = study_definition(config, info, space, objectives, machine)
        storage.create(definition, objectives, space)
        owning.enter_context(storage.owned(joins=joins))
        if storage.is_owner:
            storage.keep_wish(sought.as_dict())
            storage.keep_budget(budget.trials, budget.hours)
        under_way = UnderWay(paths.under_way)
        unfinished = storage.recover(objectives, under_way.death(), *under_way.others_deaths())
        records = storage.records()
        history = History(objectives, constraints, info.quality_metric, records, sought)
        evaluator = study_evaluator(study, pool.service, info, fleet=fleet)
        evaluator.settings = evaluator.settings.claiming([sought.latency_metric])
        check_versions(history.measured, evaluator, space, fleet.device if fleet else None)
        _check_counters(evaluator, space, [*objectives, *constraints], fleet)
        deadline = None if budget.hours is None else started + budget.hours * 3600
        if not info.is_file:
            reporter.preparing("timing an epoch of each model")
        with waiting_until(deadline), lease(CPU):
            epoch_seconds = pool.service.epoch_seconds()
        cost = CostModel(history, info.recipe, epoch_seconds, is_file=info.is_file)
        given_up = GivenUp(history, space, config.budget.give_up_after)
        affordable = Affordable(cost)
        space = space.with_rules(given_up, affordable)
        known = config.strategy.warm_start
        earlier = None if known is None else load_history(paths.folder / known)
        strategy = study_strategy(config, space, history, affordable, earlier)
        history.confirmed = list(storage.confirmed().points)
        cost.note_stored(store.names())
        limit = StoreLimit(store, config.budget.store_gb, history, study.pins, use, cost)
        if storage.is_owner:
            limit.pin()
        reporter.preparing("bringing MLflow up to date")
        tracking = OwnersTracking(guarded_tracking(study), lambda: storage.is_owner)
        tracking.bring_up_to_date(history)
        if not storage.is_owner:
            reporter.noted(f"the study belongs to {storage.owner}; this process helps it")
        for text in (*info.remarks, *_left_out(space, info)):
            reporter.noted(text)
        confirmation, progress = None, storage.while_owned(reporter.confirming)
        if config.confirmation.enabled:
            confirmation = study_confirmation(study, history, evaluator, pool, progress, fleet)
        executor = study_executor(study, pool, evaluator, fleet)
        result = Loop(
            name=config.name,
            space=space,
            storage=storage,
            history=history,
            unfinished=unfinished,
            under_way=under_way,
            strategy=strategy,
            executor=executor,
            cost=cost,
            tracking=tracking,
            reporter=reporter,
            identical_failures=config.budget.identical_failures,
            given_up=given_up,
            affordable=affordable,
            latency_first=config.strategy.latency_first,
            reserve=confirmation.seconds if confirmation else lambda budget_s: 0.0,
            started=started,
            store_limit=limit,
            completed=lambda record: beside_baseline(record, history, store),
            comparable=lambda record: check_versions([record], evaluator, space),
            beat=TrainingNews(executor.stages, reporter, tracking),
        ).run(budget)
        if untried := _untried(space, cost):
            reporter.noted(
                f"students without a trial: {untried}; a search with more --hours or --trials "
                "tries them"
            )
        if not storage.is_owner:
            return replace(result, owner=str(storage.owner or "another process, which has ended"))
        confirmed = storage.confirmed()
        history.confirmed = list(confirmed.points)
        is_new = len(history.records) > confirmed.trials
        with ending(storage, tracking, history, result.reason):
            if confirmation and history.frontier and is_new:
                confirm_and_publish(study, confirmation, tracking, reporter, deadline)
        limit.pin()
        store.sweep()  # of other processes of this search, if some were killed
        return replace(result, wants_confirmation=confirmation is not None)


def _check_counters(
    evaluator: Evaluator,
    space: SearchSpace,
    wanted: Sequence[Objective | Constraint],
    fleet: Fleet | None = None,
) -> None:
    """Refuse a study that needs a counter that a device lacks, on the machine that measures."""
    needs = {METRICS[each.metric].needs: each.metric for each in wanted if each.metric in METRICS}
    if not needs.keys() & {"energy", "card"}:
        return
    runs = [RunSpec(*split_target(str(v)), 1, 1) for v in space.axis("execution_provider").values]
    devices = {evaluator.runners[run.runner].device(run) for run in runs}
    if "card" in needs and (others := sorted(each for each in devices if not gpu.is_card(each))):
        raise StudyError(
            f"{needs['card']} is measured on NVIDIA cards only, but the space has back ends on "
            f"{', '.join(others)}: drop the metric, or these back ends"
        )
    if "energy" not in needs:
        return
    if without := on_the_device(fleet, without_energy, sorted(devices)):
        where = f" of the device {fleet.device}" if fleet else ""
        raise StudyError(
            "energy_mj needs an energy counter, but this user can read none on "
            f"{', '.join(without)}{where}. A processor's (RAPL) is in /sys/class/powercap, often "
            "for root only; a card's is in its driver. Make it readable, or remove the metric from "
            "the study file"
        )


def _left_out(space: SearchSpace, info: WorkloadInfo) -> list[str]:
    """Return a line for each reason why schemes, or models of the workload, are not tried."""
    reasons: dict[str, list[str]] = {}
    for name in map(str, space.axis("quantization").values):
        if name in info.unfit:
            reasons.setdefault(info.unfit[name], []).append(name)
    lines = [f"not tried: {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    students = space.axis("student").values
    if unnamed := [name for name in info.models if name not in students]:
        lines.append(
            f"not tried: {', '.join(unnamed)}: in the workload, but not among the study file's "
            "values of `student`"
        )
    return lines


def _untried(space: SearchSpace, cost: CostModel) -> str:
    """Return the students without a trial, with the time of a first one; empty if each has one."""
    tried = {record.candidate.build.student for record in cost.history.records}
    names = [name for name in map(str, space.axis("student").values) if name not in tried]
    first = [replace(space.baseline, build=replace(space.baseline.build, student=n)) for n in names]
    return ", ".join(
        f"{name} (its first trial takes about {clock(cost.seconds(candidate))})"
        for name, candidate in zip(names, first, strict=True)
    )
