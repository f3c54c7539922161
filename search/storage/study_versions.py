"""The versions that a study's timings belong to: of runtimes, and of the cards' drivers.

Times of two versions of a runtime are not comparable, so a search keeps to those it was measured
with so far. Every measurement carries its environment: nothing else has to be kept for this.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from paretune.runners.environment import fingerprint
from paretune.runners.measure.evaluator import Evaluator
from paretune.search.record.trial import TrialRecord
from paretune.spaces import RunSpec, SearchSpace, StudyError, split_target

_LOG = logging.getLogger("paretune")
_NOT_TIMED = "numpy"  # it only feeds what is timed


def check_versions(
    records: Iterable[TrialRecord], evaluator: Evaluator, space: SearchSpace
) -> None:
    """Refuse to search on with other versions than the last trials were measured with.

    Args:
        records: Measured trials. What their environment does not name may be any version.
        evaluator: Has the runners.
        space: Says which of them are used, and on which devices.

    Raises:
        StudyError: If something has another version now.
    """
    if changed := _changed(records, evaluator, space):
        texts = ", ".join(f"{name} {old} → {new}" for name, old, new in changed)
        before = ", ".join(f"{name} {old}" for name, old, _ in changed)
        raise StudyError(
            f"this study was measured with other versions: {texts}. Times of both cannot be "
            f"compared. Install {before} again; or give the study a new `name`: everything is then "
            f"measured with the new versions, and its builds are reused"
        )


def warn_of_new_versions(
    records: Iterable[TrialRecord], evaluator: Evaluator, space: SearchSpace
) -> None:
    """Warn where confirmation measures with other versions than the search did.

    That is no mistake: every value that is published is measured anew, in one campaign. But which
    points come into question was found with the old versions.
    """
    for name, old, new in _changed(records, evaluator, space):
        _LOG.warning("the search measured with %s %s; confirming with %s", name, old, new)


def _changed(
    records: Iterable[TrialRecord], evaluator: Evaluator, space: SearchSpace
) -> list[tuple[str, str, str]]:
    """Return the name, the version known and the one there is, of each that is not the same."""
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
    """Return the versions of a space's runners, with card and driver of each device they use."""
    found: dict[str, dict[str, str]] = {}
    for target in map(str, space.axis("execution_provider").values):
        run = RunSpec(*split_target(target), 1, 1)
        versions = found.setdefault(run.runner, _comparable(evaluator.versions[run.runner]))
        device = evaluator.runners[run.runner].device(run)
        if (card := fingerprint().get(device)) is not None:
            versions[device] = card
    return found


def _comparable(versions: Mapping[str, str]) -> dict[str, str]:
    """Return the versions that times depend on; of Python the minor one, as patches do not."""
    found = {name: version for name, version in versions.items() if name != _NOT_TIMED}
    if "python" in found:
        found["python"] = ".".join(found["python"].split(".")[:2])
    return found
