"""A study on several devices of a fleet: a study file for each, made from one.

What is fast differs from device to device, and so does the baseline: each device has a frontier, a
history and a budget of its own. They share the store, so what one has built, none builds again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import yaml

from paretune.search.configure.study_file import read_study_file
from paretune.spaces import ConfigError

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


def write_device_files(file: Path, devices: Sequence[str]) -> dict[str, Path]:
    """Write a study file for each device beside a study file, ``study.DEVICE.yaml``.

    They say what the study file says, but for the study's name and its device.

    Args:
        file: The study file.
        devices: The devices' names in the fleet.

    Returns:
        The files, by device.

    Raises:
        ConfigError: If the study file has mistakes, or a device's name cannot be part of a file's.
    """
    name = read_study_file(file).name
    values = yaml.safe_load(file.read_text("utf-8"))
    found = {}
    for device in dict.fromkeys(devices):
        if not _NAME.fullmatch(device):
            raise ConfigError(
                f"the device {device!r} cannot be part of a file's name: use letters, digits, _ "
                "and -"
            )
        own = {**values, "name": f"{name}-{device}", "devices": [device]}
        text = yaml.safe_dump(own, sort_keys=False, allow_unicode=True)
        found[device] = made = file.with_suffix(f".{device}.yaml")
        if made.exists() and not _is_made_from(file, made):
            raise ConfigError(
                f"the study of the device {device} would be written to {made}, but that is your "
                "own study file: rename the file or the device"
            )
        made.write_text(f"{_mark(file)}\n{text}", "utf-8")
    return found


def device_files(file: Path) -> dict[str, Path]:
    """Return the study files that were made from a study file, by device.

    Raises:
        ConfigError: If there is none.
    """
    found = {}
    for path in sorted(file.parent.iterdir()):
        device = path.name.removeprefix(f"{file.stem}.").removesuffix(".yaml")
        if path == file.with_suffix(f".{device}.yaml") and _is_made_from(file, path):
            found[device] = path
    if not found:
        raise ConfigError(
            f"{file} was not searched on several devices yet: run `paretune search {file} "
            "--scheduler ADDRESS --device NAME --device NAME` first"
        )
    return found


def _mark(file: Path) -> str:
    return f"# Made from {file.name} for one device, anew with each search: edit that."


def _is_made_from(file: Path, made: Path) -> bool:
    return made.is_file() and made.read_text("utf-8").startswith(f"{_mark(file)}\n")
