"""The outcome of a job: its result or failure, and how long it took."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from paretune.runners.build.built import Built, Training
from paretune.runners.failure import Failure
from paretune.runners.measure.campaign import Launched
from paretune.runners.measure.evaluator import Scored
from paretune.runners.measure.measurement import Measurement
from paretune.runners.runtimes.launch import Launch
from paretune.runners.runtimes.proof import ProviderShare
from paretune.runners.store.stage_record import StageRecord
from paretune.spaces import RecordError


@dataclass(frozen=True)
class Outcome:
    """The result of a job, or its failure.

    Attributes:
        value: A tuple of stage names, a :class:`Training`, :class:`Built`,
            :class:`Measurement`, :class:`Scored` or :class:`Launched`, as the kind of job says; or
            a :class:`Failure`.
        seconds: Wall-clock time of the job, without the wait for its slot.
    """

    value: Any
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON, with digests instead of paths."""
        value = self.value
        match value:
            case Built():
                lineage = [asdict(record) for record in value.lineage]
                seconds = dict(value.stage_seconds)
                kind = "artifact"
                plain = {"digest": value.artifact, "lineage": lineage, "stage_seconds": seconds}
            case Training():
                kind, plain = "training", asdict(value)
            case Measurement():
                kind, plain = "measurement", value.as_dict()
            case Scored():
                kind, plain = "score", asdict(value)
            case Launched():
                kind, plain = "launch", asdict(value)
            case Failure():
                kind, plain = "failure", value.as_dict()
            case _:
                kind, plain = "stages", {"names": list(value)}
        return {"kind": kind, "value": plain, "seconds": self.seconds}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], is_there: Callable[[str], object]
    ) -> Outcome | None:
        """Undo :meth:`as_dict`.

        Args:
            values: What it returned.
            is_there: Tells whether a file is in the store, by its digest.

        Returns:
            The outcome, or ``None`` if one of its files is missing or damaged.

        Raises:
            RecordError: If the values are not an outcome, or an outcome of another release.
        """
        try:
            value = _value(values["kind"], values["value"], is_there)
            return None if value is None else cls(value, float(values["seconds"]))
        except (KeyError, TypeError, ValueError) as error:
            raise RecordError(
                f"this release has no such outcome of a job ({type(error).__name__}: {error}); "
                f"use the release of Paretune that wrote it"
            ) from error


def _value(kind: str, plain: Mapping[str, Any], is_there: Callable[[str], object]) -> Any:
    match kind:
        case "artifact":
            lineage = tuple(StageRecord(**record) for record in plain["lineage"])
            built = Built(plain["digest"], lineage, plain["stage_seconds"])
            return built if is_there(built.artifact) else None
        case "training":
            return Training(**plain)
        case "measurement":
            return Measurement.from_dict(plain) if is_there(plain["samples"]) else None
        case "score":
            providers = {name: ProviderShare(**each) for name, each in plain["providers"].items()}
            return Scored(
                plain["value"],
                tuple(plain["resampled"]),
                providers,
                plain.get("more", {}),
                plain.get("answers", ""),
            )
        case "launch":
            return Launched(Launch.from_result(plain["launch"]), plain["host_was_idle"])
        case "failure":
            return Failure.from_dict(dict(plain))
        case "stages":
            return tuple(plain["names"])
    raise ValueError(f"kind {kind!r}")
