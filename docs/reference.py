"""Write the reference of the study file and of the command line, from the code itself.

    python docs/reference.py

``tests/test_docs.py`` fails if the pages differ from the code.
"""

from pathlib import Path
from typing import Any, get_args

import click
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from paretune.runners.metric import GOALS, METRICS
from paretune.search.cli.main import main as command_line
from paretune.search.configure.schema import StudyConfig

HERE = Path(__file__).parent
WRITTEN_BY = "Written by `python docs/reference.py`; do not edit.\n"


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
    return "\n".join(lines) + "\n"


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
        below = click.Context(command, info_name=name, parent=context, terminal_width=100)
        lines += [f"## paretune {name}", "", "```", command.get_help(below), "```", ""]
    return "\n".join(lines)


PAGES = {"study-file.md": study_file, "command-line.md": commands}

if __name__ == "__main__":
    for page, text in PAGES.items():
        (HERE / page).write_text(text(), "utf-8")
