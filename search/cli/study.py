"""What many commands take: the study they are about, and whether to print JSON."""

from pathlib import Path

import click

study_argument = click.argument(
    "study", type=click.Path(path_type=Path, dir_okay=False), default=Path("study.yaml")
)
"""Adds the study file to a command, ``study.yaml`` in the current folder by default."""


class StudyFirst(click.Command):
    """A command whose study file may be left out, although another argument follows."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default study file before a number that stands first."""
        if args and args[0].isdecimal():
            args = ["study.yaml", *args]
        return super().parse_args(ctx, args)


json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of words (docs/json.md)."
)
"""Adds ``--json`` to a command."""
