"""Benchmark: what is a pruned model worth after equal tuning, with and without making up?

    python experiments/benchmarks/pruning.py WORKLOAD [--model reference] [--ratios 0.5]
        [--seeds 3] [--epochs 0] [--tuning-epochs 0]

WORKLOAD is `path/to/workload.py:Class`. For each seed the model is trained by the workload's
recipe, then its weakest channels by L2 norm are removed. That model is tuned as it is, and as the
search makes it: what reads the channels makes up for them first. Both are tuned alike, with the
trained model as teacher.
Printed: the share of channels that was asked for and that was removed, the share of parameters that
is left, and the quality on the test split before and after tuning. No time is measured.
"""

import argparse
import copy
from pathlib import Path
from statistics import mean

import torch
from torch import nn

from paretune.runners.build.stages.prune import made_up, pruned_copy, removed_share
from paretune.runners.workload.learning.forward import answers
from paretune.runners.workload.learning.teacher import Teacher
from paretune.runners.workload.learning.training import judge_of
from paretune.runners.workload.loaded import LoadedWorkload

TUNING_SHARE = 1 / 3
"""Peak of the learning rate when a pruned model is tuned, as in the stage `fine-tune`."""

WAYS = ("plain", "made up")


def main() -> None:
    """Print a row per seed, ratio and way, then the means."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("workload")
    parser.add_argument("--model", default="reference")
    parser.add_argument("--ratios", type=float, nargs="+", default=[0.5])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=0, help="0: as many as the recipe says")
    parser.add_argument("--tuning-epochs", type=int, default=0, help="0: as the recipe says")
    options = parser.parse_args()
    loaded = LoadedWorkload(options.workload, Path())
    recipe = loaded.workload.recipe()
    epochs = options.epochs or recipe.reference_epochs
    tuning = options.tuning_epochs or recipe.fine_tune_epochs
    print(f"{options.workload}, {options.model}: {epochs} epochs, tuned for {tuning}")
    print(
        f"{'seed':>4} {'asked':>6}  {'':<8} {'removed':>8} {'left':>6} {'before':>7} {'after':>7}"
    )
    after: dict[tuple[float, str], list[float]] = {}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        trained = train(loaded, loaded.build_model(options.model), seed, epochs)
        size = parameters(trained)
        whole = quality(loaded, trained)
        print(
            f"{seed:>4} {'':>6}  {'unpruned':<8} {'':>8} {1:>6.0%} {'':>7} {whole:>7.4f}",
            flush=True,
        )
        for ratio in options.ratios:
            for way in WAYS:
                model = prune(loaded, trained, ratio, is_made_up=way == WAYS[1])
                removed, before = removed_share(trained, model), quality(loaded, model)
                train(loaded, model, seed, tuning, trained)
                tuned, left = quality(loaded, model), parameters(model) / size
                after.setdefault((ratio, way), []).append(tuned)
                print(
                    f"{seed:>4} {ratio:>6.0%}  {way:<8} {removed:>8.1%} {left:>6.1%} "
                    f"{before:>7.4f} {tuned:>7.4f}",
                    flush=True,
                )
    for ratio in options.ratios:
        plain, made_up = (after[ratio, way] for way in WAYS)
        better = sum(b > a for a, b in zip(plain, made_up, strict=True))
        print(
            f"mean at {ratio:.0%}: {WAYS[0]} {mean(plain):.4f}, {WAYS[1]} {mean(made_up):.4f}; "
            f"{WAYS[1]} is better with {better} of {len(plain)} seeds"
        )


def train(
    loaded: LoadedWorkload,
    model: nn.Module,
    seed: int,
    epochs: int,
    teacher: nn.Module | None = None,
) -> nn.Module:
    """Train or tune a model in place, and return it in eval mode."""
    recipe = loaded.workload.recipe()
    is_taught = teacher is not None and recipe.teacher_share > 0
    loaded.workload.train(
        model.requires_grad_(True).train(),
        loaded.data,
        epochs=epochs,
        seed=seed,
        peak_learning_rate=recipe.learning_rate * (1.0 if teacher is None else TUNING_SHARE),
        teacher=Teacher(copy.deepcopy(teacher)) if is_taught and teacher is not None else None,
    )
    return model.cpu().eval()


def prune(
    loaded: LoadedWorkload, trained: nn.Module, ratio: float, *, is_made_up: bool
) -> nn.Module:
    """Return a pruned copy."""

    def fresh() -> nn.Module:
        return copy.deepcopy(trained).eval()

    pruned = pruned_copy(loaded, fresh, ratio)
    if is_made_up:
        made_up(loaded, trained, pruned, fresh)
    return pruned.model


def quality(loaded: LoadedWorkload, model: nn.Module) -> float:
    """Return a model's quality on the test split."""
    return judge_of(loaded.workload)(answers(model, loaded.data.test))


def parameters(model: nn.Module) -> int:
    """Return how many parameters a model has."""
    return sum(each.numel() for each in model.parameters())


if __name__ == "__main__":
    main()
