"""The options that say what a model file's inputs take."""

from __future__ import annotations

import json
from typing import Any

import click


def input_options(command: Any) -> Any:
    """Add the options to a command: ``constants``, ``batch_axes`` and ``shapes``."""
    for option in (
        click.option(
            "--shape",
            "shapes",
            multiple=True,
            callback=_shapes,
            metavar="INPUT=SIZES",
            help="Sizes of an input with free dimensions, such as images=1x3x320x320; the batch's "
            "size does not count. Repeatable.",
        ),
        click.option(
            "--batch-axis",
            "batch_axes",
            multiple=True,
            callback=_axes,
            metavar="NAME=AXIS",
            help="The batch axis of an input or output, if it is not the first (0), such as "
            "state=1; or none, if it takes one sample without an axis for it. Repeatable.",
        ),
        click.option(
            "--constant",
            "constants",
            multiple=True,
            callback=_values,
            metavar="INPUT=VALUE",
            help="An input that is the same in every call, such as sr=16000 or size=320,320. "
            "Repeatable.",
        ),
    ):
        command = option(command)
    return command


def _values(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, Any]:
    found = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            is_list = "," in value and not value.startswith("[")
            parsed = json.loads(f"[{value}]" if is_list else value)
        except ValueError:
            parsed = None
        if not name or not _is_of_numbers(parsed):
            raise click.BadParameter(
                f"write INPUT=VALUE with a number or numbers separated by commas, such as "
                f"sr=16000; got {text!r}"
            )
        found[name] = parsed
    return found


def _axes(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, int | None]:
    found = {}
    for text in texts:
        name, _, axis = text.rpartition("=")
        if not name or not (axis.isdigit() or axis == "none"):
            raise click.BadParameter(
                f"write NAME=AXIS, such as state=1, or NAME=none; got {text!r}"
            )
        found[name] = None if axis == "none" else int(axis)
    return found


def _shapes(
    context: click.Context, parameter: click.Parameter, texts: tuple[str, ...]
) -> dict[str, list[int]]:
    found = {}
    for text in texts:
        name, _, sizes = text.rpartition("=")
        parts = sizes.replace(",", "x").split("x")
        if not name or not all(part.isdigit() and int(part) for part in parts):
            raise click.BadParameter(f"write INPUT=SIZES, such as images=1x3x320x320; got {text!r}")
        found[name] = [int(part) for part in parts]
    return found


def _is_of_numbers(value: Any) -> bool:
    if isinstance(value, list):
        return bool(value) and all(_is_of_numbers(each) for each in value)
    return isinstance(value, bool | int | float)
