"""Canonical digests: equal values give equal names, in every process and on every machine."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Return the one JSON text of a value.

    Keys are sorted, white space is dropped, text stays UTF-8; floats are written in their shortest
    round-trip form and ``-0.0`` as ``0.0``, so the text does not depend on machine or locale.

    Args:
        value: Nested dicts (string keys), lists, tuples, strings, numbers, booleans and ``None``.

    Raises:
        ValueError: If a number is NaN or infinite: such a value equals nothing, not even itself.
        TypeError: If the value holds something JSON has no form for.
    """
    return json.dumps(
        _without_negative_zero(value),
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def digest(value: Any) -> str:
    """Return the SHA-256 of :func:`canonical_json` as 64 hexadecimal characters."""
    return hashlib.sha256(canonical_json(value).encode("utf-8")).hexdigest()


def _without_negative_zero(value: Any) -> Any:
    if isinstance(value, float):
        return value + 0.0
    if isinstance(value, dict):
        return {key: _without_negative_zero(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_negative_zero(item) for item in value]
    return value
