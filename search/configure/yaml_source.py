"""A YAML file with the line of each value."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from paretune.spaces import ConfigError

Location = tuple[str | int, ...]

_MOST_VALUES = 10_000
"""Values in a study file; a few lines of YAML with aliases can otherwise stand for billions."""


@dataclass(frozen=True)
class YamlSource:
    """A parsed YAML file.

    Attributes:
        path: The file.
        values: Its values.
        lines: Line (from 1) of each key and list item, by location.
        repeated: Location of each key that appears twice in one mapping.
    """

    path: Path
    values: dict[str, Any]
    lines: dict[Location, int] = field(default_factory=dict)
    repeated: list[Location] = field(default_factory=list)

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the file start from."""
        return self.path.resolve().parent

    def line(self, location: Location) -> int | None:
        """Return the line of a location, or of the nearest part around it that is in the file."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location)


def read_yaml(path: Path) -> YamlSource:
    """Read a YAML file whose top is a mapping. It creates plain values only, never objects.

    Raises:
        ConfigError: If the file is missing, is not YAML, or is not a mapping.
    """
    try:
        text = path.read_text("utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}, column {mark.column + 1}:" if mark else ""
        problem = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{path}:{where} not valid YAML: {problem}") from error
    except (RecursionError, ValueError) as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} must hold keys and values; got {type(values).__name__}")
    source = YamlSource(path, values)
    _walk(node, (), source, set())
    return source


def _walk(node: Any, location: Location, source: YamlSource, inside: set[int]) -> None:
    if id(node) in inside:
        raise ConfigError(f"{source.path}: line {source.line(location)}: a value contains itself")
    if len(source.lines) > _MOST_VALUES:
        # A few nested aliases can expand to billions of values.
        raise ConfigError(f"{source.path} holds more than {_MOST_VALUES:,} values; write fewer")
    inside = inside | {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*location, str(key.value))
            if here in source.lines:
                source.repeated.append(here)
            source.lines[here] = key.start_mark.line + 1
            _walk(value, here, source, inside)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            source.lines[(*location, index)] = item.start_mark.line + 1
            _walk(item, (*location, index), source, inside)
