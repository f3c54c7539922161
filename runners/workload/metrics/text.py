"""Metrics of text: error rates of characters and words, exact match, and F1 of tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from paretune.runners.workload.metrics.metric import Outputs, SampleMetric
from paretune.spaces import WorkloadError

Decode = Callable[[Outputs], Sequence[str]]


class TextMetric(SampleMetric):
    """A metric of texts, which ``decode`` makes from a batch of outputs.

    Args:
        name: The name under which it is recorded.
        decode: Returns one text per sample of a batch of outputs.
        normalize: Applied to texts and targets, such as ``str.casefold``.
    """

    def __init__(
        self, name: str, decode: Decode, normalize: Callable[[str], str] = str.strip
    ) -> None:
        super().__init__(name)
        self.decode = decode
        self.normalize = normalize
        self._texts: list[int] = []

    def of_samples(self, outputs: Outputs, targets: Any) -> NDArray[Any]:
        """Compare the texts of a batch with the targets: one text per sample."""
        wanted = [self.normalize(str(each)) for each in np.asarray(targets).reshape(-1)]
        given = [self.normalize(each) for each in self.decode(outputs)]
        if len(given) != len(wanted):
            raise WorkloadError(
                f"the metric {self.name}: decode() returned {len(given)} texts for {len(wanted)} "
                "samples"
            )
        self._texts += [crc32(each.encode()) for each in given]
        return np.array([self.of_pair(*each) for each in zip(given, wanted, strict=True)], float)

    def of_pair(self, given: str, wanted: str) -> float | tuple[float, float]:
        """Return what is kept of a text and what it should be."""
        raise NotImplementedError

    def answers(self) -> NDArray[Any]:
        """Return a number for each text, which differs if the text does: (samples, 1)."""
        return np.array(self._texts, np.int64)[:, None]


class ErrorRate(TextMetric):
    """Insertions, deletions and substitutions per character (or word) of all targets together.

    Args:
        name: The name under which it is recorded.
        decode: Returns one text per sample of a batch of outputs.
        normalize: Applied to texts and targets.
        by_word: Whether words are counted, and not characters.
    """

    higher_is_better = False
    is_mean = False

    def __init__(
        self,
        name: str,
        decode: Decode,
        normalize: Callable[[str], str] = str.strip,
        *,
        by_word: bool = False,
    ) -> None:
        super().__init__(name, decode, normalize)
        self.by_word = by_word

    def of_pair(self, given: str, wanted: str) -> tuple[float, float]:
        """Return the number of edits, and the target's length."""
        if self.by_word:
            return float(edits(given.split(), wanted.split())), float(len(wanted.split()))
        return float(edits(given, wanted)), float(len(wanted))

    def value(self, samples: NDArray[Any]) -> float:
        """Return edits per unit of the targets."""
        wrong, length = samples.sum(axis=0)
        if not length:
            raise WorkloadError(f"the metric {self.name} needs targets that are not empty")
        return float(wrong / length)


class ExactMatch(TextMetric):
    """The share of texts that are exactly right."""

    def of_pair(self, given: str, wanted: str) -> float:
        """Return 1 if they are equal."""
        return float(given == wanted)


class TokenF1(TextMetric):
    """F1 of the words that a text has in common with its target (Rajpurkar et al., SQuAD, 2016)."""

    def of_pair(self, given: str, wanted: str) -> float:
        """Return the harmonic mean of precision and recall of words."""
        some, others = given.split(), wanted.split()
        if not some or not others:
            return float(some == others)
        common = sum((Counter(some) & Counter(others)).values())
        return 2 * common / (len(some) + len(others))


def edits(given: Sequence[Hashable], wanted: Sequence[Hashable]) -> int:
    """Return Levenshtein's distance: the fewest insertions, deletions and substitutions."""
    row = list(range(len(wanted) + 1))
    for place, one in enumerate(given, start=1):
        before, row[0] = row[0], place
        for column, other in enumerate(wanted, start=1):
            best = min(row[column] + 1, row[column - 1] + 1, before + (one != other))
            before, row[column] = row[column], best
    return row[-1]


def ctc_texts(alphabet: Sequence[str], blank: int = 0, output: str | None = None) -> Decode:
    """Return a ``decode`` for CTC: the likeliest class per step, repeats and blanks taken out.

    Args:
        alphabet: The text of each class, the blank's included.
        blank: The blank's class.
        output: The output with scores of shape (samples, steps, classes); the first if ``None``.
    """

    def decode(outputs: Outputs) -> list[str]:
        scores = np.asarray(outputs[output or next(iter(outputs))])
        texts = []
        for steps in scores.argmax(axis=-1):
            is_new = np.concatenate([[True], steps[1:] != steps[:-1]]) & (steps != blank)
            texts.append("".join(alphabet[each] for each in steps[is_new]))
        return texts

    return decode
