"""The versions that a study's times belong to: of runtimes, and of the cards' drivers.

Times of two versions of a runtime are not comparable, so a search continues only with the versions
of its earlier trials. Every measurement records its environment, so nothing else has to be stored
for this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from paretune.runners.measure.evaluator import Evaluator
from paretune.search.record.trial import TrialRecord
from paretune.spaces import RunSpec, SearchSpace, StudyError, split_target

_LOG = logging.getLogger("paretune")
_NOT_TIMED = "numpy"  # it only feeds the timed runtime


def check_versions(
    records: Iterable[TrialRecord],
    evaluator: Evaluator,
    space: SearchSpace,
    device: str | None = None,
) -> None:
    """Refuse to continue a search with other versions than those of its last trials.

    Args:
        records: Measured trials. If their environment does not name a version, any is accepted.
        evaluator: Holds the runners.
        space: Determines which runners are used, and on which devices.
        device: The name of the fleet's device that measures, if there is a fleet.

    Raises:
        StudyError: If something has another version now.
    """
    if changed := _changed(records, evaluator, space):
        texts = ", ".join(f"{name} {old} → {new}" for name, old, new in changed)
        before = ", ".join(f"{name} {old}" for name, old, _ in changed)
        where = "" if device is None else f" on the device {device}"
        raise StudyError(
            f"this study was measured with other versions{where}: {texts}. Their times are not "
            f"comparable. Install {before} again{where}, or set a new `name`: then everything is "
            "measured with the new versions, and its builds are reused"
        )


def warn_of_new_versions(
    records: Iterable[TrialRecord], evaluator: Evaluator, space: SearchSpace
) -> None:
    """Warn if confirmation measures with other versions than the search did.

    That is allowed: every published value is measured again, in one campaign. But the plausible
    points were found with the old versions.
    """
    for name, old, new in _changed(records, evaluator, space):
        _LOG.warning("the search measured with %s %s; confirming with %s", name, old, new)


def _changed(
    records: Iterable[TrialRecord], evaluator: Evaluator, space: SearchSpace
) -> list[tuple[str, str, str]]:
    """Return name, recorded version and current version of everything that changed."""
    known: dict[str, Mapping[str, str]] = {
        record.candidate.run.runner: _comparable(record.measurement.environment)
        for record in records
        if record.measurement
    }
    found = []
    for runner, now in _current(evaluator, space).items():
        then = known.get(runner, {})
        found += [(k, then[k], now[k]) for k in now if then.get(k, now[k]) != now[k]]
    return list(dict.fromkeys(found))


def _current(evaluator: Evaluator, space: SearchSpace) -> dict[str, dict[str, str]]:
    """Return the versions of a space's runners, with card and driver of each of their devices."""
    found: dict[str, dict[str, str]] = {}
    for target in map(str, space.axis("execution_provider").values):
        run = RunSpec(*split_target(target), 1, 1)
        versions = found.setdefault(run.runner, _comparable(evaluator.versions[run.runner]))
        device = evaluator.runners[run.runner].device(run)
        if (card := evaluator.machine.get(device)) is not None:
            versions[device] = card
    return found


def _comparable(versions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions that times depend on; for Python the minor version is enough."""
    found = {name: version for name, version in versions.items() if name != _NOT_TIMED}
    if "python" in found:
        found["python"] = ".".join(found["python"].split(".")[:2])
    return found
