"""How this processor sums products of 8-bit integers: the reason why weights may need 7 bits."""

from __future__ import annotations

import platform
from pathlib import Path

from paretune.runners.control_groups import text

_CPUINFO = Path("/proc/cpuinfo")
_WIDE = {"avx512_vnni", "avx_vnni", "amx_int8"}
"""Flags of processors that sum such products in 32 bits."""


def has_narrow_sums() -> bool:
    """Return whether sums of 8-bit products can overflow here: on x86 processors without VNNI.

    There ``vpmaddubsw`` adds two products of an unsigned and a signed byte in 16 bits with
    saturation (Intel's "Deep Learning Boost" white paper). Where the system does not tell, the
    answer is no.
    """
    if platform.machine().lower() not in ("x86_64", "amd64"):
        return False
    lines = [line for line in text(_CPUINFO).splitlines() if line.startswith("flags")]
    return bool(lines) and not _WIDE & set(lines[0].split())
