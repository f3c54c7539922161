"""Write the reference of the study file, the command line and its JSON, from the code itself.

    python docs/reference.py

``tests/test_docs.py`` fails if the pages differ from the code.
"""

import inspect
import re
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from paretune.runners.metric import GOALS, METRICS
from paretune.search.cli.main import main as command_line
from paretune.search.cli.values.results import RESULTS
from paretune.search.configure.schema import StudyConfig

HERE = Path(__file__).parent
WRITTEN_BY = "<!-- Written by `python docs/reference.py`; do not edit. -->\n"


def study_file() -> str:
    """Return the reference of the study file, as Markdown."""
    lines = ["# The study file", "", WRITTEN_BY]
    lines += [
        "Unknown keys are mistakes. All mistakes are reported at once, each with its line.",
        "",
    ]
    lines += _section(StudyConfig, "")
    lines += [
        "## Metrics",
        "",
        "Any of these metrics, and the workload's quality, can be an objective or a constraint.",
    ]
    lines += ["", "| metric | meaning | better | needs |", "|---|---|---|---|"]
    for metric in map(METRICS.__getitem__, GOALS):
        better = "higher" if metric.higher_is_better else "lower"
        lines.append(f"| `{metric.name}` | {metric.description} | {better} | {metric.needs} |")
    return _linked("\n".join(lines) + "\n")


def _linked(text: str) -> str:
    """Return a text with links to the pages that it names, such as docs/data.md."""
    return re.sub(r"docs/([\w-]+\.md)", r"[\1](\1)", text)


def _section(model: type[BaseModel], path: str) -> list[str]:
    lines = [f"## {path or 'Top level'}", "", (model.__doc__ or "").strip(), ""]
    lines += ["| key | default | meaning |", "|---|---|---|"]
    below: list[tuple[str, type[BaseModel]]] = []
    for name, field in model.model_fields.items():
        inner = _models_in(field.annotation)
        below += [(f"{path}.{name}".lstrip("."), each) for each in inner]
        default = "required" if field.is_required() else _shown(field.default)
        lines.append(f"| `{name}` | {default} | {field.description or ''} |")
    lines.append("")
    for name, inner_model in below:
        lines += _section(inner_model, name)
    return lines


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in get_args(annotation) for model in _models_in(part)]


def _shown(default: Any) -> str:
    if default is PydanticUndefined or default is None or isinstance(default, BaseModel):
        return ""
    if isinstance(default, list):
        return f"`[{', '.join(str(getattr(each, 'value', each)) for each in default)}]`"
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{getattr(default, 'value', default)}`" if default != {} else ""


def commands() -> str:
    """Return the reference of the command line, as Markdown."""
    lines = ["# The command line", "", WRITTEN_BY]
    # With the command's own settings: click keeps the help option that it made first, so that the
    # page would depend on what has run before.
    settings = command_line.context_settings
    context = click.Context(command_line, info_name="paretune", terminal_width=100, **settings)
    lines += ["```", command_line.get_help(context), "```", ""]
    for name in command_line.list_commands(context):
        command = command_line.commands[name]
        below = click.Context(command, info_name=name, parent=context, terminal_width=80)
        lines += [f"## paretune {name}", "", "```", command.get_help(below), "```", ""]
    return "\n".join(lines)


_JSON = """\
`--json` prints what a command found, for programs: to standard output, in UTF-8. Errors and notes \
go to standard error, in words, and exit codes are those without `--json`. The tools of \
`paretune mcp` return the same objects (docs/mcp.md).

Every quantity has its unit at the end of its name: `_ms`, `_s`, `_bytes`, `_per_s`. What is not \
known or not asked for is null. Intervals are 95 % intervals. New keys may come with any version; \
keys do not change their meaning.

`paretune frontier --format csv` has the keys of a point as columns. Commands that are not in this \
list print progress, or what they wrote.
"""
_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean", type(None): "null"}


def json_output() -> str:
    """Return the reference of what commands print with ``--json``, as Markdown."""
    lines = ["# JSON", "", WRITTEN_BY, _JSON]
    below: dict[str, type[BaseModel]] = {}
    for result in RESULTS:
        one = f"A list with one object per {result.each}." if result.is_list else "One object."
        lines += [f"## {result.command}", "", one, "", *_object(result.values), ""]
        below |= _objects_in(result.values)
    lines += ["## Objects in them", ""]
    for name, model in below.items():
        lines += [f"### {name}", "", *_object(model), ""]
    return _linked("\n".join(lines).rstrip() + "\n")


def _object(model: type[BaseModel]) -> list[str]:
    lines = [inspect.cleandoc(model.__doc__ or ""), "", "| key | type | meaning |", "|---|---|---|"]
    for name, field in model.model_fields.items():
        lines.append(f"| `{name}` | {_type(field.annotation)} | {field.description} |")
    return lines


def _objects_in(model: type[BaseModel]) -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = {}
    for field in model.model_fields.values():
        for each in _models_in(field.annotation):
            found |= {_name(each): each} | _objects_in(each)
    return found


def _name(model: type[BaseModel]) -> str:
    return model.__name__.removesuffix("Values").lower()


def _type(annotation: Any) -> str:
    """Return a type as a reader of JSON calls it."""
    origin, inside = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return "string"
    if origin is list:
        return f"list of {_type(inside[0])}"
    if origin is tuple:
        return f"list of {len(inside)} numbers"
    if origin is dict:
        return "object" if inside[1] is Any else f"object of {_type(inside[1])} by name"
    if inside:
        return " or ".join(map(_type, inside))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return f"[{_name(annotation)}](#{_name(annotation)})"
    return _TYPES.get(annotation, "any")


PAGES = {"study-file.md": study_file, "command-line.md": commands, "json.md": json_output}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), "utf-8")
