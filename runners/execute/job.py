"""A job: a piece of work as data, which any executor can do.

A job names everything by names and digests, never by live objects or paths of a machine: so it can
travel as JSON, and means the same on another machine with the same store. Its key is the digest of
its fields; whatever else its outcome depends on is one of them, the digest ``given``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from paretune.runners.measure.stored_samples import StoredSamples
from paretune.spaces import BuildSpec, RecordError, RunSpec, digest

Kind = TypeVar("Kind", bound="type[Job]")

_KINDS: dict[str, type[Job]] = {}
_NESTED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "spec": lambda values: BuildSpec(**values),
    "run": lambda values: RunSpec(**values),
    "samples": StoredSamples.from_dict,
}
"""What makes the fields that are more than plain values."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The fields that every job has.

    Attributes:
        given: Digest of everything else that the outcome depends on: the workload, the settings,
            the versions (see :class:`Site`).
        occasion: What the job is done for: one trial of one study. For one occasion a job is done
            once, however often it is submitted; for another it is done again. A measurement must
            not be shared: two trials with the same artifact would report one sample as two. A
            build loses nothing by it: its stages are shared, each under its own key.
        SCHEMA: Version of the fields and of the outcome; part of the key.
        IS_KEPT: Whether executors keep the outcome under the key.
    """

    given: str = ""
    occasion: str = ""
    SCHEMA: ClassVar[int] = 1
    IS_KEPT: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """Digest of all that the outcome depends on; jobs with equal keys are the same job."""
        return digest(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        values = asdict(self)
        if isinstance(run := getattr(self, "run", None), RunSpec):
            values["run"] = run.as_dict()
        if isinstance(samples := getattr(self, "samples", None), StoredSamples):
            values["samples"] = samples.as_dict()
        return {"job": type(self).__name__.lower(), "schema": self.SCHEMA, **values}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Job:
        """Undo :meth:`as_dict`.

        Raises:
            RecordError: If the values are not a job, or a job of another release.
        """
        rest = dict(values)
        kind, schema = _KINDS.get(rest.pop("job", "")), rest.pop("schema", None)
        if kind is None or schema != kind.SCHEMA or rest.keys() - {f.name for f in fields(kind)}:
            raise RecordError(
                f"this release has no job {values.get('job')!r} of version {schema!r} with the "
                f"fields {', '.join(rest)}; use the release of Paretune that wrote it"
            )
        nested = {name: make(rest[name]) for name, make in _NESTED.items() if name in rest}
        return kind(**{**rest, **nested})


def _kind(kind: Kind) -> Kind:
    _KINDS[kind.__name__.lower()] = kind
    return kind


@_kind
@dataclass(frozen=True)
class Missing(Job):
    """List the stages that a build would have to run; the outcome is a tuple of their names.

    The outcome is not kept: it depends on the content of the store, and it is cheap.
    """

    spec: BuildSpec
    model_format: str = "onnx"
    IS_KEPT: ClassVar[bool] = False


@_kind
@dataclass(frozen=True)
class Train(Job):
    """Run a build's stages up to a training stage; the outcome is a :class:`Training`."""

    spec: BuildSpec
    until: str


@_kind
@dataclass(frozen=True)
class Build(Job):
    """Run the missing stages of a build; the outcome is a :class:`Built`.

    Attributes:
        spec: What to build.
        model_format: The name of the format that the candidate's runner takes.
        is_skeleton: Whether to leave out all training.
    """

    spec: BuildSpec
    model_format: str = "onnx"
    is_skeleton: bool = False


@_kind
@dataclass(frozen=True)
class Measure(Job):
    """Time an artifact run one way; the outcome is a :class:`Measurement`.

    Attributes:
        artifact: The artifact's digest.
        run: How to run it.
        samples: The inputs to run it on.
        with_quality: Whether to evaluate its quality, too.
    """

    artifact: str
    run: RunSpec
    samples: StoredSamples
    with_quality: bool = True
    SCHEMA: ClassVar[int] = 2


@_kind
@dataclass(frozen=True)
class Score(Job):
    """Evaluate the quality of an artifact run one way; the outcome is a :class:`Scored`.

    Predicting and scoring are one job: the outputs of a whole split can be large, and nobody needs
    them afterwards.

    Attributes:
        artifact: The artifact's digest.
        run: How to run it.
        samples: The inputs to run it on, and the split to score it on.
    """

    artifact: str
    run: RunSpec
    samples: StoredSamples
    SCHEMA: ClassVar[int] = 2


@_kind
@dataclass(frozen=True)
class Launch(Job):
    """Time an artifact in one fresh process; the outcome is a :class:`Launched`.

    The outcome is not kept: it has up to ten thousand times, and the measurement that is made of
    all launches keeps them in a compressed file. A launch that is lost costs seconds.

    Attributes:
        artifact: The artifact's digest.
        run: How to run it.
        samples: The inputs to run it on.
        number: Tells the launches of one occasion apart.
    """

    artifact: str
    run: RunSpec
    samples: StoredSamples
    number: int
    SCHEMA: ClassVar[int] = 2
    IS_KEPT: ClassVar[bool] = False
