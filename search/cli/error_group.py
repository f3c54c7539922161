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
        except ConfigError as error:
            click.echo(str(error), err=True)
            ctx.exit(2)
        except ParetuneError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(1)
        except BrokenPipeError:
            raise  # the reader has closed the pipe: click ends quietly
        except OSError as error:
            click.echo(f"error: {error.filename or ''}: {error.strerror or error}", err=True)
            ctx.exit(1)
