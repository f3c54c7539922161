"""The definition: what makes a study this one, and the checks that a stored study is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import optuna

from paretune.search.record.objective import Objective
from paretune.spaces import OPTIONAL_AXES, StudyError

_OURS = "paretune_"


def refuse_changed(
    existing: Mapping[str, Any], definition: Mapping[str, Any], name: str, url: str
) -> None:
    """Check that a study is continued as what it was started as.

    Args:
        existing: What the study was created with.
        definition: What it is now.
        name: Its name.
        url: Its storage.

    Raises:
        StudyError: If anything differs, with what.
    """
    known = {**existing, "space": {**OPTIONAL_AXES, **existing.get("space", {})}}
    changed = [key for key, value in definition.items() if known.get(key) != value]
    if changed:
        raise StudyError(
            f"the study {name!r} in {url} was started with another "
            f"{', '.join(changed)}; give the changed study a new `name` (its builds are "
            f"reused all the same), or undo the change"
        )


def refuse_foreign(study: optuna.Study, objectives: Sequence[Objective], url: str) -> None:
    """Leave alone what another program keeps under a study's name.

    An empty study without attributes may be taken: this program, killed, leaves one, too.

    Raises:
        StudyError: If the study has trials, attributes of others, or other directions.
    """
    others = [key for key in study.user_attrs if not key.startswith(_OURS)]
    directions = [direction.name.lower() for direction in study.directions]
    wanted = [objective.direction for objective in objectives]
    if study.trials or others or directions != wanted:
        raise StudyError(
            f"{url} holds a study {study.study_name!r} that Paretune did not create "
            f"({len(study.trials)} trials, directions {', '.join(directions)}); give this study "
            f"another `name`, or another `storage`"
        )
