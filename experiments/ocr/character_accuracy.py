"""What judges a text recognizer: one minus its character error rate."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

BLANK = 0
"""CTC's blank in what the model says; the padding in what is right."""


def character_accuracy(outputs: NDArray[Any], targets: NDArray[Any]) -> float:
    """Return one minus the character error rate, as the mean over lines.

    The character error rate of a line is the number of insertions, deletions and substitutions that
    turn what was read into what is right, per right character.

    Args:
        outputs: Scores of shape (lines, steps, classes).
        targets: The right classes, of shape (lines, longest), padded with the blank.

    Returns:
        1 if all is right; less than 0 if more was wrong than there is.
    """
    best = outputs.argmax(axis=2)
    rates = []
    for steps, right in zip(best, targets, strict=True):
        wanted = right[right != BLANK]
        rates.append(edit_distance(read(steps), wanted) / len(wanted))
    return 1 - float(np.mean(rates))


def read(steps: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the characters of one line from the best class of each step: repeats count once."""
    is_new = np.concatenate([[True], steps[1:] != steps[:-1]])
    return steps[is_new & (steps != BLANK)]


def edit_distance(given: NDArray[np.int64], wanted: NDArray[np.int64]) -> int:
    """Return the Levenshtein distance of two sequences."""
    row = list(range(len(wanted) + 1))
    for line, one in enumerate(given, start=1):
        corner, row[0] = row[0], line
        for place, other in enumerate(wanted, start=1):
            change = min(row[place] + 1, row[place - 1] + 1, corner + (one != other))
            corner, row[place] = row[place], change
    return row[-1]
