"""Stage "distill": a student learns from the reference (Hinton, Vinyals and Dean, 2015)."""

from dataclasses import replace

from torch import nn

from paretune.runners.build.checkpoint import load_checkpoint
from paretune.runners.build.inheritance import inherit
from paretune.runners.build.reconstruction import train_inputs
from paretune.runners.build.stages import StageInput, StageOutput
from paretune.runners.build.stages.train_part import train_part
from paretune.runners.build.tracing import example_inputs

_REFINING_SHARE = 1 / 3
"""Peak learning rate for a student with trained weights, as a share of the recipe's: that of
fine-tuning. Chosen by judgement.
"""


def run(given: StageInput) -> StageOutput:
    """Train ``params["student"]`` from its first weights, or from those of the short part.

    The first weights are noise, or those that ``params["start"]`` names: its own trained ones,
    which the parent holds, or the reference's.
    """
    student, start = given.params["student"], given.params.get("start", "fresh")
    metrics = {}
    if given.params["part"] == "rest" or start == "trained":
        model, _, _ = load_checkpoint(given.loaded, given.parent_file)
    else:
        model = given.loaded.build_model(student)
        if start == "inherited":

            def fresh() -> nn.Module:
                return load_checkpoint(given.loaded, given.parent_file)[0]

            example, batches = example_inputs(given.loaded), train_inputs(given.loaded)
            metrics["inherited_share"] = inherit(model, fresh, example, batches)
    peak = _REFINING_SHARE if start == "trained" else 1.0
    output = train_part(given, model, peak, student=student, pruning=[])
    return replace(output, metrics={**output.metrics, **metrics})
