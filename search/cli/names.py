"""Options whose values are the names of a registry."""

from __future__ import annotations

from typing import Any

import click

from paretune.spaces import SpaceError, resolve


class RegistryName(click.ParamType):  # type: ignore[type-arg]  # click 8.2 takes none
    """The name of a record; the registry is asked only when a value or the help is wanted.

    Args:
        registry: A reference to the registry, such as ``module:RUNTIMES``.
    """

    name = "name"

    def __init__(self, registry: str) -> None:
        self._registry = registry

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name.

        Raises:
            BadParameter: If the registry does not know it; the message lists the names.
        """
        try:
            name: str = resolve(self._registry).get(value).name
        except SpaceError as error:
            self.fail(str(error), param, ctx)
        return name

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        """Return what stands for the value in the help: all names."""
        return f"[{'|'.join(resolve(self._registry).names)}]"
