"""Pydantic's errors in a study file, in the words of its schema."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel

from paretune.search.configure.mistake import Mistake, offer
from paretune.search.configure.schema import StudyConfig
from paretune.search.configure.yaml_source import Location


def schema_mistake(error: dict[str, Any]) -> Mistake:
    """Return the mistake of one entry of ``ValidationError.errors()``."""
    location, got, kind = tuple(error["loc"]), error["input"], error["type"]
    context = error.get("ctx", {})
    if kind == "extra_forbidden":
        known = _keys_at(location[:-1])
        return Mistake(
            location,
            f"unknown key {str(location[-1])!r}",
            offer(str(location[-1]), known, "the keys here are"),
        )
    if kind == "missing":
        fix = f"add `{location[-1]}: …`"
        description = _field_description(location)
        return Mistake(location, "missing", f"{fix} ({description})" if description else fix)
    problem = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    problem = re.sub(r"^should ", "must ", problem)
    if kind == "enum":
        expected = re.findall(r"'([^']*)'", context.get("expected", ""))
        return Mistake(
            location, f"unknown value {got!r}", offer(str(got), expected, "possible values:")
        )
    if kind == "value_error":
        return Mistake(location, problem)
    return Mistake(location, f"{problem}; got {got!r}", _fix_for(kind, context))


def _fix_for(kind: str, context: dict[str, Any]) -> str:
    if kind.startswith("int"):
        return "write a whole number, without quotes"
    if kind.startswith("float"):
        return "write a number, without quotes"
    if kind == "string_pattern_mismatch":
        return "write letters, digits, '_', '-' and '.' only"
    if kind.startswith("string"):
        return "write text"
    if kind.startswith("list"):
        return "write a list: [a, b, c]"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return "write keys and values, indented"
    if kind == "greater_than_equal":
        return f"write {context['ge']} or more"
    if kind == "greater_than":
        return f"write more than {context['gt']}"
    if kind == "less_than":
        return f"write less than {context['lt']}"
    return ""


def _keys_at(location: Location) -> list[str]:
    model = _model_at(location)
    return list(model.model_fields) if model else []


def _field_description(location: Location) -> str:
    model = _model_at(location[:-1])
    field = model.model_fields.get(str(location[-1])) if model else None
    return (field.description or "") if field else ""


def _model_at(location: Location) -> type[BaseModel] | None:
    """Return the schema of a section, by following field types from the top."""
    model: type[BaseModel] = StudyConfig
    for part in location:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = _model_in(field.annotation) if field else None
        if inner is None:
            return None
        model = inner
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for a in get_args(annotation) if (found := _model_in(a))), None)
