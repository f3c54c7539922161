"""Is what was exported the model? And why was it not: the exporter's reason in a line."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from paretune.runners.failure import FailureKind, StageError
from paretune.runners.workload.user_code import line_in

CHECKED_SAMPLES = 8
"""Samples on which an exported file must answer as the model does. Chosen by judgement."""

_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_LONGEST_REASON = 300
"""Characters of an exporter's reason that are told."""


def check_answers(
    expected: Mapping[str, NDArray[Any]], got: Mapping[str, NDArray[Any]], limit: float = 1e-3
) -> None:
    """Check that an exported file gives a model's outputs.

    Args:
        expected: The model's outputs by name.
        got: Those of the file.
        limit: The largest difference that is allowed, as a share of the output's largest value.

    Raises:
        StageError: If they differ.
    """
    for name, right in expected.items():
        error = _difference(right, got[name])
        if not error < limit:
            raise StageError(
                FailureKind.INVALID,
                f"the exported file and the model give different outputs: in {name!r} the largest "
                f"difference is {error:.1e} of the largest value; look for control flow or "
                "randomness in forward()",
            )


def export_reason(workload: Path, error: BaseException) -> str:
    """Return why an exporter rejected a model: the user's line, and the first cause's own words.

    Args:
        workload: The workload's file.
        error: What the exporter raised; it wraps the cause in advice.
    """
    chain = [error]
    while cause := chain[-1].__cause__ or chain[-1].__context__:
        if cause in chain:
            break
        chain.append(cause)
    where = next((line for each in reversed(chain) if (line := line_in(workload, each))), "")
    text = _ESCAPES.sub("", str(chain[-1])).strip()
    words = " ".join(line.strip() for line in text.split("\n\n")[0].splitlines())
    if "data-dependent" in text.lower():
        words = "forward() branches on the values of its data, which a file cannot: " + words
    return f"{where}{type(chain[-1]).__name__}: {words[:_LONGEST_REASON]}"


def _difference(right: NDArray[Any], got: NDArray[Any]) -> float:
    """Return the largest difference relative to the largest value; infinite if shapes differ."""
    if right.shape != got.shape:
        return float("inf")
    wide = np.complex128 if right.dtype.kind == "c" else np.float64
    right, got = right.astype(wide), got.astype(wide)
    finite = np.isfinite(right)
    if not np.array_equal(right[~finite], got[~finite], equal_nan=True):
        return float("inf")
    if not finite.any():
        return 0.0
    scale = max(float(np.abs(right[finite]).max()), 1e-6)
    return float(np.abs(got[finite] - right[finite]).max()) / scale
