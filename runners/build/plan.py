"""The plan of a build: which stages make an artifact, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paretune.runners.model_format import ModelFormat
from paretune.runners.workload.recipe import Recipe
from paretune.spaces import REFERENCE, BuildSpec, Quantization

TRAINING_STAGES = ("distill-short", "distill", "fine-tune-short", "fine-tune", "qat-short", "qat")
"""The stages that train, in the order of a build."""

Step = tuple[str, dict[str, Any]]
"""A stage's name and its parameters."""


def plan(
    spec: BuildSpec,
    recipe: Recipe,
    model_format: ModelFormat = "onnx",
    *,
    is_skeleton: bool = False,
    is_file: bool = False,
) -> Iterator[Step]:
    """Yield the stages of a build and their parameters, first to last.

    A training is two stages, a short one and the rest, if the recipe has enough epochs: the result
    of the short one may be a reason to skip the rest.

    Args:
        spec: What to build.
        recipe: Determines how trainings are divided.
        model_format: The format that the runner takes.
        is_skeleton: Whether to leave out all training. The file has the shapes and the operators
            of the real one, and so its latency, but not its answers.
        is_file: Whether the reference is an ONNX file, which can only be quantized.
    """
    if is_file:
        yield "import-model", {}
        yield from _quantization(spec)
        return
    yield "reference", {}
    if spec.student != REFERENCE:
        if is_skeleton:
            yield "skeleton", {"student": spec.student}
        else:
            yield from _training(
                "distill", {"student": spec.student}, recipe.distill_epochs, recipe
            )
    if spec.pruning_ratio > 0:
        yield "prune", {"pruning_ratio": spec.pruning_ratio}
        if not is_skeleton:
            yield from _training("fine-tune", {}, recipe.fine_tune_epochs, recipe)
    if spec.quantization is Quantization.INT8_QAT and not is_skeleton:
        yield from _training("qat", {}, recipe.qat_epochs, recipe)
    if model_format == "pt2":
        yield "export-program", {"quantization": spec.quantization.value}
        return
    yield "export", {}
    yield from _quantization(spec)


def _quantization(spec: BuildSpec) -> Iterator[Step]:
    if spec.quantization is not Quantization.FP32:
        share = spec.fp32_layer_share
        left_out = {"fp32_layer_share": share} if share else {}
        # Quantization-aware training prepares for static int8.
        is_qat = spec.quantization is Quantization.INT8_QAT
        scheme = Quantization.INT8_STATIC if is_qat else spec.quantization
        yield "quantize", {"quantization": scheme.value, **left_out}


def _training(stage: str, params: dict[str, Any], epochs: int, recipe: Recipe) -> Iterator[Step]:
    short = recipe.short_epochs(epochs)
    if short:
        yield f"{stage}-short", {**params, "part": "short", "epochs": short}
    yield stage, {**params, "part": "rest" if short else "whole", "epochs": epochs - short}
