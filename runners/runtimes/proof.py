"""Proof of execution: which provider ran which share of a model, by the runtime's own profile."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.runners.failure import Failure, FailureKind

_NAMED = 8
"""Nodes on another provider that a failure names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """The share of one execution provider.

    Attributes:
        nodes: Number of nodes.
        node_share: Their share of all nodes that ran, in [0, 1].
        time_share: Their share of the time of all nodes, in [0, 1].
    """

    nodes: int
    node_share: float
    time_share: float


def prove(
    nodes: Sequence[Mapping[str, Any]], provider: str, tolerance: float
) -> dict[str, ProviderShare] | Failure:
    """Return what each provider ran, or a failure if too much of it ran elsewhere.

    Args:
        nodes: ``node``, ``operator``, ``provider`` and ``ms_per_call`` of each node that ran.
        provider: The requested provider.
        tolerance: Maximum share of the time spent elsewhere; 0 allows no node elsewhere.
    """
    if not nodes:
        message = f"asked for {provider}, but the runtime's profile names no node that ran"
        return Failure("evaluate", FailureKind.UNSUPPORTED, message)
    total_ms = sum(node["ms_per_call"] for node in nodes)
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for node in nodes:
        groups.setdefault(node["provider"], []).append(node)
    shares = {}
    for name, group in groups.items():
        group_ms = sum(node["ms_per_call"] for node in group)
        # If the profile's clock recorded no time at all, count nodes instead.
        by_time = group_ms / total_ms if total_ms else len(group) / len(nodes)
        shares[name] = ProviderShare(len(group), len(group) / len(nodes), by_time)
    elsewhere = [node for node in nodes if node["provider"] != provider]
    lost = sum(share.time_share for name, share in shares.items() if name != provider)
    if elsewhere and (tolerance == 0 or lost > tolerance):
        names = [f"{n['node']} ({n['operator']}, {n['provider']})" for n in elsewhere[:_NAMED]]
        more = f" and {len(elsewhere) - _NAMED} more" if len(elsewhere) > _NAMED else ""
        return Failure(
            "evaluate",
            FailureKind.UNSUPPORTED,
            f"asked for {provider}, but {len(elsewhere)} of {len(nodes)} nodes ({lost:.0%} of the "
            f"time) ran elsewhere: {', '.join(names)}{more}. To allow a share of the time, "
            f"set measurement.fallback_tolerance (it is {tolerance:g})",
        )
    return shares
