"""Options that are written as KEY=VALUE."""

from __future__ import annotations

from collections.abc import Sequence

import click


def pairs(texts: Sequence[str], form: str) -> dict[str, str]:
    """Split each text at its first equals sign.

    Args:
        texts: What was given.
        form: The option as it must be written, such as ``--header KEY=VALUE``.
    """
    for text in texts:
        if not text.partition("=")[0].strip() or "=" not in text:
            raise click.UsageError(f"write {form}; got {text!r}")
    return {key.strip(): value for key, _, value in (text.partition("=") for text in texts)}


def headers_of(texts: Sequence[str]) -> dict[str, str]:
    """Return the headers that ``--header`` names."""
    form = "--header KEY=VALUE, such as --header Authorization='Bearer …'"
    return {key: value.strip() for key, value in pairs(texts, form).items()}
