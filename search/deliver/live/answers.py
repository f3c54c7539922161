"""Whether a service gives the answers that the bundle holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from paretune.search.deliver.live.bundle_requests import BundleRequests, joined
from paretune.search.deliver.live.service import (
    Answer,
    ModelInfo,
    RefusedRequestError,
    Service,
    TensorInfo,
)
from paretune.search.deliver.verification import difference


@dataclass(frozen=True)
class AnswerCheck:
    """How a service answered requests of one size.

    Attributes:
        size: Samples of a request.
        samples: Samples that were sent.
        difference: How the answers differ from the bundle's; empty if they do not.
        refused: Why the service refused such a request; empty if it did not.
        answer: The last answer, which may tell what runs the model.
    """

    size: int
    samples: int
    difference: str = ""
    refused: str = ""
    answer: Answer | None = None

    @property
    def is_equal(self) -> bool:
        """Whether all was answered, and as it must be."""
        return not self.difference and not self.refused


def check_answers(service: Service, requests: BundleRequests, size: int) -> AnswerCheck:
    """Send all samples of a bundle, and compare the answers with the bundle's.

    Args:
        service: The service.
        requests: The bundle's samples.
        size: Samples of a request.

    Raises:
        UnreachableError: If the service does not answer.
    """
    connection = service.connect()
    answers, rows = [], requests.rows(size)
    try:
        for some in rows:
            answers.append(connection.ask(service.encode(requests.feed(some), requests.asked)))
        text = answers_differ(service, requests, rows, answers)
    except RefusedRequestError as error:
        return AnswerCheck(size, len(requests), refused=str(error))
    finally:
        connection.close()
    return AnswerCheck(size, len(requests), text, answer=answers[-1])


def answers_differ(
    service: Service,
    requests: BundleRequests,
    rows: Sequence[NDArray[np.intp]],
    answers: Sequence[Answer],
) -> str:
    """Describe how answers differ from the bundle's; empty if they do not.

    Args:
        service: Decodes them.
        requests: The bundle's samples.
        rows: The samples of each request. Rows below the one before were filled up, and do not
            count.
        answers: The answer to each, in the same order.

    Raises:
        RefusedRequestError: If an answer is not one of the protocol.
    """
    parts, kept = [], []
    for some, answer in zip(rows, answers, strict=True):
        count = int(np.argmax(np.diff(some) < 0)) + 1 if (np.diff(some) < 0).any() else len(some)
        try:
            parts.append(requests.by_sample(service.decode(answer), count))
        except KeyError as error:
            return str(error.args[0])
        kept.append(some[:count])
    order = np.concatenate(kept)
    for place, name in enumerate(requests.outputs):
        found = joined([part[place] for part in parts])
        expected = requests.expected[place]
        whole = len(order) == len(expected) == len(found)
        text = difference(found, expected[order] if whole or len(found) == len(order) else expected)
        if text:
            return f"{name}: {text}"
        if place + 1 == len(requests.expected):
            break  # a bundle of an earlier version has the first output alone
    return ""


def metadata_differ(info: ModelInfo, requests: BundleRequests) -> str:
    """Describe how a service's model differs from the bundle's; empty if it does not.

    Names, types and sizes of inputs are compared with what will be sent, those of outputs with the
    bundle's answers. What the service leaves open, or does not tell, is not compared.
    """
    size = requests.sizes[-1]
    feed = requests.feed(np.arange(size) % len(requests))
    wanted = {
        name: (array.dtype.name, [*array.shape], requests.layout.inputs.get(name, 0))
        for name, array in feed.items()
    }
    for name in requests.layout.constants:
        if name in wanted:
            wanted[name] = (*wanted[name][:2], None)
    if text := _differ("input", info.inputs, wanted):
        return text
    answers = {
        name: (array.dtype.name, None, axis)
        for (name, axis), array in zip(requests.outputs.items(), requests.expected, strict=False)
        if requests.asked
    }
    return _differ("output", info.outputs, answers, are_all=False)


def _differ(
    kind: str,
    told: Sequence[TensorInfo],
    wanted: Mapping[str, tuple[str, list[int] | None, int | None]],
    *,
    are_all: bool = True,
) -> str:
    if not told or not wanted:
        return ""
    known = {each.name: each for each in told}
    missing, others = sorted(set(wanted) - set(known)), sorted(set(known) - set(wanted))
    if missing or (others and are_all):
        return (
            f"the served model has the {kind}s {', '.join(sorted(known))}, the bundle's has "
            f"{', '.join(sorted(wanted))}"
        )
    for name, (dtype, shape, axis) in wanted.items():
        one = known[name]
        if one.dtype is not None and one.dtype != dtype:
            return f"{kind} {name!r} is {one.dtype} at the service, and {dtype} in the bundle"
        if shape is None:
            continue
        # Some servers leave the batch out of the shape: Triton does in its configuration.
        sizes = [shape, shape[:axis] + shape[axis + 1 :]] if axis is not None else [shape]
        if not any(_fits(one.shape, each, axis) for each in sizes):
            return (
                f"{kind} {name!r} has the shape {_words(one.shape)} at the service, and the bundle "
                f"sends {shape}"
            )
    return ""


def _fits(told: Sequence[int | None], shape: Sequence[int], axis: int | None) -> bool:
    """Tell whether sizes fit; the batch's may be an example of the server's."""
    return len(told) == len(shape) and all(
        size is None or size == sent or place == axis
        for place, (size, sent) in enumerate(zip(told, shape, strict=True))
    )


def _words(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"
