"""The argument that says which study a command is about."""

from pathlib import Path

import click

study_argument = click.argument(
    "study", type=click.Path(path_type=Path, dir_okay=False), default=Path("study.yaml")
)
"""Adds the study file to a command, ``study.yaml`` in the current folder by default."""
