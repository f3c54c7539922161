"""The plan of a build: which stages make an artifact, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from paretune.runners.formats import FORMATS, FormatRecord
from paretune.runners.workload.recipe import Recipe
from paretune.runners.workload.students.student import Origin
from paretune.spaces import REFERENCE, BuildSpec

TRAINING_STAGES = ("distill-short", "distill", "fine-tune-short", "fine-tune", "qat-short", "qat")
"""The stages that train, in the order of a build."""

Step = tuple[str, dict[str, Any]]
"""A stage's name and its parameters."""


def plan(
    spec: BuildSpec,
    recipe: Recipe,
    model_format: str = "onnx",
    *,
    is_skeleton: bool = False,
    is_file: bool = False,
    origin: Origin = "fresh",
) -> Iterator[Step]:
    """Yield the stages of a build and their parameters, first to last.

    A training is two stages, a short one and the rest, if the recipe has enough epochs: the result
    of the short one may be a reason to skip the rest.

    Args:
        spec: What to build.
        recipe: Determines how trainings are divided.
        model_format: The name of the format that the runner takes.
        is_skeleton: Whether to leave out all training. The file has the shapes and the operators
            of the real one, and so its latency, but not its answers.
        is_file: Whether the reference is a file of that format, which can only be quantized.
        origin: Where the student's first weights come from. One that is trained already is trained
            further only if the recipe has epochs for it.
    """
    made = FORMATS.get(model_format)
    if is_file:
        yield made.source.import_stage or made.source.stage, {}
        yield from _quantization(spec, made)
        return
    yield "reference", {}
    if spec.student != REFERENCE:
        yield from _student(spec.student, recipe, origin, is_skeleton=is_skeleton)
    if spec.pruning_ratio > 0:
        yield "prune", {"pruning_ratio": spec.pruning_ratio}
        if not is_skeleton:
            yield from _training("fine-tune", {}, recipe.fine_tune_epochs, recipe)
    if spec.quantization.record.needs_training and not is_skeleton:
        yield from _training("qat", {}, recipe.qat_epochs, recipe)
    if made.export_quantizes:
        yield made.stage, {"quantization": spec.quantization.value}
        return
    yield made.source.stage, {}
    yield from _quantization(spec, made)


def _student(student: str, recipe: Recipe, origin: Origin, *, is_skeleton: bool) -> Iterator[Step]:
    """Yield the stages that give a student its weights."""
    params: dict[str, Any] = {"student": student}
    if origin == "trained":
        yield "pretrained", params
        if recipe.refine_epochs and not is_skeleton:
            yield from _training(
                "distill", params | {"start": origin}, recipe.refine_epochs, recipe
            )
    elif is_skeleton:
        yield "skeleton", params
    else:
        # The number is raised when what a student takes over changes.
        start = {"start": origin, "inheritance": 2} if origin == "inherited" else {}
        yield from _training("distill", params | start, recipe.distill_epochs, recipe)


def _quantization(spec: BuildSpec, made: FormatRecord) -> Iterator[Step]:
    """Yield the stage that quantizes an exported file, if there is anything to do.

    Values that every build had before there was a choice are left out of the parameters, because
    these are part of the stage's key.
    """
    scheme = spec.quantization.record
    if scheme.mode == "none":
        return
    params: dict[str, Any] = {"quantization": scheme.made_as or scheme.name}
    if spec.fp32_layer_share:
        params["fp32_layer_share"] = spec.fp32_layer_share
    if made.name != "onnx":
        params["format"] = made.name
    if scheme.version != 1:
        params["scheme_version"] = scheme.version
    yield "quantize", params


def _training(stage: str, params: dict[str, Any], epochs: int, recipe: Recipe) -> Iterator[Step]:
    short = recipe.short_epochs(epochs)
    if short:
        yield f"{stage}-short", {**params, "part": "short", "epochs": short}
    yield stage, {**params, "part": "rest" if short else "whole", "epochs": epochs - short}
