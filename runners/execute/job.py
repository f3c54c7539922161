"""A job: a piece of work as data, which any executor can do, now or again.

A job says what is to be done by names and digests only, never by live objects or paths, so that it
goes through JSON to wherever it is done. What its outcome depends on beside its own fields is in
``given``; both together make its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, ClassVar, TypeVar

from paretune.runners.model_format import ModelFormat
from paretune.spaces import BuildSpec, RecordError, RunSpec, digest

Kind = TypeVar("Kind", bound="type[Job]")

_KINDS: dict[str, type[Job]] = {}
_SPECS: dict[str, type[BuildSpec | RunSpec]] = {"spec": BuildSpec, "run": RunSpec}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What every job says.

    Attributes:
        given: Digest of what the outcome depends on beside the job's own fields: the workload, the
            settings, the versions of what does it (see :class:`Site`).
        occasion: What it is done for, such as one trial of one study. The same job for the same
            occasion is done once, however often it is submitted; for another occasion it is done
            anew. So a measurement is never taken from another trial's or study's, which would make
            two samples of one, while what a build shares with others is found stage by stage.
        SCHEMA: Version of the kind's fields and of what its outcome means; part of the key.
        IS_KEPT: Whether the outcome is kept under the key.
    """

    given: str = ""
    occasion: str = ""
    SCHEMA: ClassVar[int] = 1
    IS_KEPT: ClassVar[bool] = True

    @property
    def key(self) -> str:
        """Digest of everything that the outcome depends on: equal keys have one outcome."""
        return digest(self.as_dict())

    def as_dict(self) -> dict[str, Any]:
        """Return plain nested values, ready for JSON."""
        return {"job": type(self).__name__.lower(), "schema": self.SCHEMA, **asdict(self)}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> Job:
        """Undo :meth:`as_dict`.

        Raises:
            RecordError: If it is a job of another release, or none at all.
        """
        rest = dict(values)
        kind, schema = _KINDS.get(rest.pop("job", "")), rest.pop("schema", None)
        if kind is None or schema != kind.SCHEMA or rest.keys() - {f.name for f in fields(kind)}:
            raise RecordError(
                f"this release knows no job {values.get('job')!r} of version {schema!r} with the "
                f"fields {', '.join(rest)}; use the release of Paretune that wrote it"
            )
        specs = {name: spec(**rest[name]) for name, spec in _SPECS.items() if name in rest}
        return kind(**{**rest, **specs})


def _kind(kind: Kind) -> Kind:
    _KINDS[kind.__name__.lower()] = kind
    return kind


@_kind
@dataclass(frozen=True)
class Missing(Job):
    """Ask which stages a build would have to run; the outcome is a tuple of their names.

    It is asked anew each time: the answer depends on what the store holds, and costs nothing.
    """

    spec: BuildSpec
    model_format: ModelFormat = "onnx"
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
    """Run every stage of a build that is missing; the outcome is an :class:`Artifact`.

    Attributes:
        spec: What to build.
        model_format: What the runner takes.
        is_skeleton: Whether to leave out all training.
    """

    spec: BuildSpec
    model_format: ModelFormat = "onnx"
    is_skeleton: bool = False


@_kind
@dataclass(frozen=True)
class Measure(Job):
    """Time an artifact run one way; the outcome is a :class:`Measurement`.

    Attributes:
        artifact: Digest of the model file.
        run: How to run it.
        with_quality: Whether its quality is wanted, too.
    """

    artifact: str
    run: RunSpec
    with_quality: bool = True
