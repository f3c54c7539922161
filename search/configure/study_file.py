"""Reading a study file: all mistakes at once, each with its line and how to fix it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from paretune.runners.metric import GOALS, metric_of
from paretune.runners.runtimes.registry import RUNTIMES
from paretune.runners.workload.loaded import WorkloadInfo
from paretune.runners.workload.user_code import load_plugins, split_reference
from paretune.search.configure.mistake import Mistake, offer
from paretune.search.configure.schema import StudyConfig
from paretune.search.configure.schema_mistakes import schema_mistake
from paretune.search.configure.yaml_source import Location, YamlSource, read_yaml
from paretune.spaces import (
    Axis,
    ConfigError,
    Forbid,
    ParetuneError,
    WorkloadError,
    split_target,
)

Describe = Callable[[str, Path], WorkloadInfo]
"""Loads a workload (``FILE.py:CLASS``, folder) and describes it."""


def read_study_file(path: Path, describe: Describe | None = None) -> StudyConfig:
    """Read and check a study file.

    Args:
        path: The file.
        describe: If the file has mistakes, used to check its names against the workload as well,
            so that all mistakes are reported together; for a file without mistakes,
            :func:`check_names` checks the names.

    Raises:
        ConfigError: With all mistakes, if there are any.
    """
    source = read_yaml(path)
    mistakes = [
        Mistake(location, "appears twice; only the last would count", "delete one of them")
        for location in source.repeated
    ]
    mistakes += _plugin_mistakes(source)  # first: the rest may use names that they register
    config: StudyConfig | None = None
    try:
        config = StudyConfig.model_validate(source.values)
    except ValidationError as error:
        mistakes += [schema_mistake(dict(item)) for item in error.errors()]
    mistakes += _workload_mistakes(source)
    if config is not None:
        mistakes += _reference_mistakes(config, source.folder)
    if config is not None and not mistakes:
        return config
    workload = _workload_to_check(source)
    if describe is not None and workload is not None:
        try:
            mistakes += _name_mistakes(source.values, describe(workload, source.folder))
        except ParetuneError as error:
            mistakes.append(Mistake(("workload",), str(error), "fix the workload's code"))
    raise ConfigError(_report(source, mistakes))


def check_names(path: Path, info: WorkloadInfo) -> None:
    """Check the names of models and metrics in a study file against its workload.

    Raises:
        ConfigError: With all names that are unknown, if there are any.
    """
    source = read_yaml(path)
    mistakes = _name_mistakes(source.values, info)
    if mistakes:
        raise ConfigError(_report(source, mistakes))


def _plugin_mistakes(source: YamlSource) -> list[Mistake]:
    """Run the files that register records, and say which of them cannot be."""
    written = source.values.get("plugins")
    mistakes = []
    for index, file in enumerate(written if isinstance(written, list) else []):
        if isinstance(file, str):  # the schema speaks of all else
            try:
                load_plugins([file], source.folder)
            except WorkloadError as error:
                mistakes.append(Mistake(("plugins", index), str(error)))
    return mistakes


def _workload_mistakes(source: YamlSource) -> list[Mistake]:
    written = source.values.get("workload")
    if not isinstance(written, str):
        return []  # the schema has reported it
    try:
        split_reference(written, source.folder)
    except WorkloadError as error:
        beside = _workload_beside(source.folder)
        fix = f"write `workload: {beside}`" if beside else "write FILE.py:CLASS"
        return [Mistake(("workload",), str(error), fix)]
    return []


def _reference_mistakes(config: StudyConfig, folder: Path) -> list[Mistake]:
    """Check references from one part of the file to another, or to other files."""
    mistakes = []
    for index, rule in enumerate(config.rules):
        if rule.function is not None:
            try:
                split_reference(rule.function, folder)
            except WorkloadError as error:
                mistakes.append(Mistake(("rules", index, "function"), str(error)))
        for axis, wanted in (rule.forbid or {}).items():
            known = [*Axis(axis, tuple(config.space.values_of(axis))).values]
            for value in wanted if isinstance(wanted, list) else [wanted]:
                if not Forbid({axis: value}, "-").can_match(known):
                    mistakes.append(
                        Mistake(
                            ("rules", index, "forbid", axis),
                            f"{value!r} forbids nothing: no {axis} of the space matches it",
                            offer(str(value), [str(v) for v in known], f"values of {axis}:"),
                        )
                    )
    metrics = [entry.metric for entry in config.objectives or []]
    for index, metric in enumerate(metrics):
        if metric in metrics[:index]:
            problem = f"{metric} is already an objective"
            mistakes.append(Mistake(("objectives", index), problem, "delete one of them"))
    known_runners = [*RUNTIMES.names, *config.runners]
    for index, target in enumerate(config.space.execution_provider):
        runner = split_target(target)[0]
        if runner not in known_runners:
            mistakes.append(
                Mistake(
                    ("space", "execution_provider", index),
                    f"unknown runner {runner!r}",
                    offer(runner, known_runners, "the runners are"),
                )
            )
    return mistakes


def _workload_to_check(source: YamlSource) -> str | None:
    """Return the workload, or the one next to the file if it is missing, to check the names."""
    written = source.values.get("workload")
    if isinstance(written, str) and not _workload_mistakes(source):
        return written
    return _workload_beside(source.folder)


def _name_mistakes(values: dict[str, Any], info: WorkloadInfo) -> list[Mistake]:
    """Check the names of models and metrics against the workload."""
    mistakes = []
    space = values.get("space")
    students = space.get("student") if isinstance(space, dict) else None
    for index, name in enumerate(students if isinstance(students, list) else []):
        if isinstance(name, str) and name not in info.models:
            mistakes.append(
                Mistake(
                    ("space", "student", index),
                    f"unknown student {name!r}",
                    offer(name, info.models, f"add it to models(); {info.name} has"),
                )
            )
    offered = space.get("pipeline") if isinstance(space, dict) else None
    for name, written in offered.items() if isinstance(offered, dict) else ():
        if isinstance(written, list) and written and (wrong := info.offered.mistake(name, written)):
            mistakes.append(Mistake(("space", "pipeline", name), *wrong))
    known = [*GOALS, info.quality_metric, *(info.offered.metrics if info.pipeline else ())]
    for section in ("objectives", "constraints"):
        entries = values.get(section)
        for index, entry in enumerate(entries if isinstance(entries, list) else []):
            metric = entry.get("metric") if isinstance(entry, dict) else None
            if isinstance(metric, str) and metric not in known:
                mistakes.append(
                    Mistake(
                        (section, index, "metric"),
                        f"unknown metric {metric!r}",
                        offer(metric, known, "the recorded metrics are"),
                    )
                )
            elif metric == info.quality_metric and entry.get("direction") == "minimize":
                problem = f"{metric} is the workload's quality, and a quality is always maximized"
                fix = (
                    "return the negated error from the workload, name the metric accordingly, and "
                    "leave out `direction`"
                )
                mistakes.append(Mistake((section, index, "direction"), problem, fix))
            elif isinstance(metric, str):
                need = metric_of(metric).needs
                if need == "pipeline" and info.pipeline is None:
                    problem = f"{metric} needs a pipeline, and {info.name} has none"
                    fix = "give the workload a `pipeline` and `requests()`"
                    mistakes.append(Mistake((section, index, "metric"), problem, fix))
                if need == "load" and not _offers_load(values):
                    problem = f"{metric} needs an offered load, and there is none"
                    fix = "add `measurement: {load: {queries_per_s: …}}`"
                    mistakes.append(Mistake((section, index, "metric"), problem, fix))
    return mistakes


def _offers_load(values: dict[str, Any]) -> bool:
    measurement = values.get("measurement")
    return isinstance(measurement, dict) and bool(measurement.get("load"))


def _workload_beside(folder: Path) -> str | None:
    """Return ``FILE.py:CLASS`` of the only workload class next to the study file, if any."""
    found = [
        f"{file.name}:{match.group(1)}"
        for file in sorted(folder.glob("*.py"))
        for match in re.finditer(
            r"^class (\w+)\(.*\w*Workload\b.*\):", file.read_text("utf-8", errors="replace"), re.M
        )
    ]
    return found[0] if len(found) == 1 else None


def _report(source: YamlSource, mistakes: list[Mistake]) -> str:
    count = f"{len(mistakes)} mistake{'s' if len(mistakes) > 1 else ''}"
    lines = [f"{source.path}: {count}"]
    for mistake in sorted(mistakes, key=lambda m: source.line(m.location) or 0):
        line = source.line(mistake.location)
        where = f"line {line}" if line else "top level"
        lines.append(f"  {where}: {_dotted(mistake.location)}: {mistake.problem}")
        if mistake.fix:
            lines.append(f"      → {mistake.fix}")
    return "\n".join(lines)


def _dotted(location: Location) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the file"
