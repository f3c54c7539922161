"""The definition: what identifies a study, and the checks of a stored study against it."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from paretune.search.record.objective import Objective
from paretune.spaces import OPTIONAL_AXES, StudyError

_LOG = logging.getLogger("paretune")
CODE = "code or data of the workload"
_OURS = "paretune_"


def refuse_changed(
    existing: Mapping[str, Any], definition: Mapping[str, Any], name: str, url: str
) -> None:
    """Check that a study is continued with the definition it was started with.

    Code and data have a digest per part. A study of an earlier version has one for all, made in
    another way, which cannot be compared.

    Args:
        existing: The definition that the study was created with.
        definition: The current definition.
        name: Its name.
        url: Its storage.

    Raises:
        StudyError: If anything differs; the message names it.
    """
    known = {**existing, "space": {**OPTIONAL_AXES, **existing.get("space", {})}}
    changed = [key for key, value in definition.items() if known.get(key) != value]
    if CODE in changed:
        changed.remove(CODE)
        then, now = known.get(CODE), definition[CODE]
        if isinstance(then, Mapping):
            # Models of students that were added or left out are a change of the space alone.
            parts = sorted(_differing(then, now))
            if "space" in changed:
                parts = [part for part in parts if part in then and part in now]
            if parts:
                changed.append(f"{CODE} ({', '.join(parts)})")
    if "space" in changed:
        axes = _differing(known["space"], definition["space"])
        changed[changed.index("space")] = f"space ({', '.join(axes)})"
    if changed:
        raise StudyError(
            f"the study {name!r} in {url} was started with another {', '.join(changed)}: undo the "
            "change, or give the changed study another `name` (builds are reused)"
        )


def _differing(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    return [name for name in {**then, **now} if then.get(name) != now.get(name)]


def renewed(
    existing: Mapping[str, Any], definition: Mapping[str, Any], name: str
) -> Mapping[str, Any] | None:
    """Return an earlier version's definition with the parts of the workload that it lacks.

    Returns:
        ``None`` if it lacks none.
    """
    if not isinstance(existing.get(CODE), str):
        return None
    _LOG.warning(
        "the study %r was made by an earlier version of Paretune. Its trials and published points "
        "stay. Its builds cannot be reused: new trials build what they need again",
        name,
    )
    return {**existing, CODE: definition[CODE]}


def refuse_foreign(study: optuna.Study, objectives: Sequence[Objective], url: str) -> None:
    """Refuse a study of another program with the same name.

    An empty study without attributes is accepted: this program leaves one if it is killed.

    Raises:
        StudyError: If the study has trials, attributes of others, or other directions.
    """
    others = [key for key in study.user_attrs if not key.startswith(_OURS)]
    directions = [direction.name.lower() for direction in study.directions]
    wanted = [objective.direction for objective in objectives]
    if study.trials or others or directions != wanted:
        raise StudyError(
            f"{url} holds a study {study.study_name!r} that Paretune did not create "
            f"({len(study.trials)} trials, directions {', '.join(directions)}); set another "
            "`name` or another `storage`"
        )
