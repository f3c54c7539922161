"""A group of commands that prints Paretune's errors without a traceback."""

from __future__ import annotations

from typing import Any

import click

from paretune.spaces.errors import ConfigError, ParetuneError


class ErrorGroup(click.Group):
    """Prints Paretune's errors as they are: 2 for a bad study file, 1 for everything else."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command, or print the error and exit."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            raise  # the reader has closed the pipe: click ends quietly
        except (ParetuneError, OSError) as error:
            is_mistake = isinstance(error, ConfigError)  # its lines need no introduction
            click.echo(f"{'' if is_mistake else 'error: '}{error_text(error)}", err=True)
            ctx.exit(2 if is_mistake else 1)


def error_text(error: ParetuneError | OSError) -> str:
    """Return what a person reads of an error."""
    if isinstance(error, OSError):
        return f"{error.filename or ''}: {error.strerror or error}"
    return str(error)
