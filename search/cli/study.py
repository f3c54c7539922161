"""What many commands take: the study they are about, and whether to print JSON."""

from pathlib import Path

import click

study_argument = click.argument(
    "study", type=click.Path(path_type=Path, dir_okay=False), default=Path("study.yaml")
)
"""Adds the study file to a command, ``study.yaml`` in the current folder by default."""

json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON instead of words (docs/json.md)."
)
"""Adds ``--json`` to a command."""
