"""The control groups that limit this process, as containers and service managers set them up."""

from __future__ import annotations

from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def control_groups(controller: str) -> list[Path]:
    """Return the folders of this process's control groups and of all above them.

    Inside a container the names may be those of the host, where only the upper folders exist.

    Args:
        controller: ``cpu`` or ``memory``.
    """
    folders: list[Path] = []
    for line in text(_MEMBERSHIP).splitlines():
        _, controllers, name = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        # Version 1 has a tree for each set of controllers, version 2 a single one.
        for root in [_ROOT / controller, _ROOT / controllers] if controllers else [_ROOT]:
            inner = root / name.lstrip("/")
            folders += [each for each in (inner, *inner.parents) if each.is_relative_to(root)]
    return list(dict.fromkeys(folders))


def text(path: Path) -> str:
    """Return a file's text; nothing if it cannot be read."""
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
