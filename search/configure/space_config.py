"""The study file's section on the search space."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, Field, StrictFloat, StrictInt, StrictStr, field_validator

from paretune.search.configure.section import Positive, Ratio, Section, known_name
from paretune.spaces import (
    AXES,
    AXIS_NAMES,
    REFERENCE,
    SCHEMES,
    Axis,
    AxisRecord,
    GraphOptimization,
    Quantization,
)

AxisValue = StrictStr | StrictInt | StrictFloat
"""A value of an axis that is not one of Paretune's own."""


def _check_axis(name: str, values: list[Any]) -> None:
    """Check the values of an axis.

    Raises:
        ValueError: If a value is wrong, or the baseline's is missing.
    """
    axis = Axis(name, tuple(values))
    want = AXES.get(name).baseline
    if want is not None and want not in axis.values:
        raise ValueError(
            f"must include {want!r}: trial 0 is always the uncompressed baseline; add it (a rule "
            f"can exclude it from all other trials)"
        )


def _scheme(name: str) -> str:
    return known_name(name, SCHEMES)


class SpaceConfig(Section):
    """The search space: the values of each axis."""

    student: list[StrictStr] = Field(
        [REFERENCE], description="models of the workload. Must include `reference`"
    )
    pruning_ratio: list[Ratio] = Field(
        [0.0], description="shares of channels to remove. Must include 0"
    )
    quantization: list[Annotated[StrictStr, AfterValidator(_scheme)]] = Field(
        [Quantization.FP32.value],
        description="schemes for weights and activations. Must include fp32",
    )
    fp32_layer_share: list[Ratio] = Field(
        [0.0],
        description="shares of the layers to leave in fp32: those whose "
        "quantization costs most quality for the time that it gains. Must include 0",
    )
    batch_size: list[Positive] = Field([1], description="samples per inference call")
    execution_provider: list[StrictStr] = Field(
        ["CPUExecutionProvider"], description="back ends, as PROVIDER or RUNNER/PROVIDER"
    )
    intra_op_threads: list[Positive] = Field([1], description="threads per operator")
    graph_optimization: list[GraphOptimization] = Field(
        [GraphOptimization.ALL],
        description="ONNX Runtime's graph optimization: basic, extended, all. Must include `all`",
    )

    axes: dict[StrictStr, list[AxisValue]] = Field(
        {},
        description="further axes, by name: list of values. `instances`: sessions side by side, "
        "timed together (docs/measurement.md); `input_shapes`: free or fixed (OpenVINO); and those "
        "that plugins or other packages register",
    )

    pipeline: dict[StrictStr, Annotated[list[AxisValue], Field(min_length=1)]] = Field(
        {},
        description="axes that the workload's pipeline offers (docs/end-to-end.md), by name: list "
        "of values, the pipeline's own first value first",
    )

    @field_validator(*AXIS_NAMES)
    @classmethod
    def _is_an_axis(cls, values: list[Any], info: Any) -> list[Any]:
        _check_axis(info.field_name, values)
        return values

    @field_validator("axes")
    @classmethod
    def _are_axes(cls, axes: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for name, values in axes.items():
            if name in AXIS_NAMES:
                raise ValueError(f"{name} is an axis of Paretune's own: write it one level up")
            _check_axis(name, values)
        return axes

    @field_validator("pipeline")
    @classmethod
    def _are_of_the_pipeline(cls, axes: dict[str, list[Any]]) -> dict[str, list[Any]]:
        """Register them: the study file alone says what they are, wherever it is read."""
        for name, values in axes.items():
            if name in AXES and not AXES.get(name).is_of_pipeline:
                raise ValueError(f"{name} is an axis already: name the pipeline's otherwise")
            AXES.register(AxisRecord.of_pipeline(name, values))
            _check_axis(name, values)
        return axes

    def values_of(self, axis: str) -> list[Any]:
        """Return the values of an axis, whoever it is from; none if the space does not name it."""
        if axis in AXIS_NAMES:
            own: list[Any] = getattr(self, axis)
            return own
        return self.axes.get(axis, self.pipeline.get(axis, []))
