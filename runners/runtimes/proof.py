"""Proof of execution: which provider ran which share of a model, by the runtime's own account."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from paretune.runners.failure import Failure, FailureKind

# fmt: off
HOST_OPERATORS = frozenset((
    "Shape", "Size", "Constant", "ConstantOfShape", "Identity", "Cast", "Gather", "Slice", "Split",
    "Concat", "Unsqueeze", "Squeeze", "Reshape", "Expand", "Range", "Add", "Sub", "Mul", "Div",
    "Mod", "Neg", "Abs", "Min", "Max", "Pow", "Sqrt", "Floor", "Ceil", "ReduceProd", "ReduceSum",
    "ReduceMin", "ReduceMax", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Not",
    "And", "Or", "Where",
))
# fmt: on
"""The operators that compute shapes. ONNX Runtime puts what follows a ``Shape`` on the host on
purpose (``GetCpuPreferredNodes``): a kernel on the card for four numbers would cost more."""

MOST_HOST_ELEMENTS = 100
"""The largest tensor that counts as a shape, as in ONNX Runtime's rule for small constants."""

_HOST = "CPUExecutionProvider"
_INTEGERS = ("int64", "int32", "bool")
_NAMED = 8
"""Nodes on another provider that a failure names; the rest are counted."""


@dataclass(frozen=True, slots=True)
class ProviderShare:
    """The share of one execution provider.

    Attributes:
        nodes: Number of nodes.
        node_share: Their share of all nodes that ran, in [0, 1].
        time_share: Their share of the time of all nodes, in [0, 1]. On a card, ``node_share``
            again: the profile has the times in which kernels were launched, not those in which
            they ran.
        host_nodes: Those of them, by name and operator, that compute shapes on the host for a card.
        operators: Each type of operator with its number of nodes and its share of the time of all
            nodes, in [0, 1], the slowest first. Empty on a card, whose times the profile lacks,
            and in records of earlier versions.
    """

    nodes: int
    node_share: float
    time_share: float
    host_nodes: tuple[str, ...] = ()
    operators: tuple[tuple[str, int, float], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "host_nodes", tuple(self.host_nodes))  # JSON has lists
        operators = tuple((str(name), int(nodes), share) for name, nodes, share in self.operators)
        object.__setattr__(self, "operators", operators)


@dataclass(frozen=True, slots=True)
class LaunchProof:
    """What a launch ran on, by the account that its runtime gave after everything was timed.

    Attributes:
        registered: The execution providers of the session, in order of preference.
        nodes: The number of nodes that each provider was assigned; empty if it does not tell.
        elsewhere: Name, operator and provider of each node on another than the first provider.
        options: The first provider's options in force, and where the data lay on the host.
    """

    registered: tuple[str, ...]
    nodes: Mapping[str, int]
    elsewhere: tuple[tuple[str, str, str], ...]
    options: Mapping[str, str]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> LaunchProof:
        """Return the proof from a child process's result, or from a record."""
        elsewhere = tuple((str(a), str(b), str(c)) for a, b, c in values["elsewhere"])
        nodes, options = dict(values["nodes"]), dict(values["options"])
        return cls(tuple(values["registered"]), nodes, elsewhere, options)

    def refute(self, provider: str, tolerance: float) -> Failure | None:
        """Return why a launch on a card does not count, or ``None``.

        The runtime names no types here, so operators that compute shapes are allowed on the host
        by their names; :func:`prove` sees types as well, from the profile of another process.

        Args:
            provider: The requested provider.
            tolerance: Maximum share of the nodes elsewhere.
        """
        elsewhere = [
            {"node": name, "operator": operator, "provider": where}
            for name, operator, where in self.elsewhere
            if not (where == _HOST and operator in HOST_OPERATORS)
        ]
        total = sum(self.nodes.values())
        if not elsewhere or (tolerance > 0 and len(elsewhere) / total <= tolerance):
            return None
        return _fallback(
            "measure",
            elsewhere,
            total,
            f"{len(elsewhere) / total:.0%} of the nodes",
            provider,
            tolerance,
        )


def prove(
    nodes: Sequence[Mapping[str, Any]], provider: str, tolerance: float, *, on_card: bool = False
) -> dict[str, ProviderShare] | Failure:
    """Return what each provider ran, or a failure if too much of it ran elsewhere.

    Args:
        nodes: ``node``, ``operator``, ``provider`` and ``ms_per_call`` of each node that ran, and
            ``tensors``, the types and numbers of elements that a node elsewhere read and wrote.
        provider: The requested provider.
        tolerance: Maximum share of the time spent elsewhere, or on a card of the nodes elsewhere; 0
            allows no node elsewhere.
        on_card: Whether the provider runs on a card. Then nodes that compute shapes may run on the
            host, and shares are shares of nodes.
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
        by_node = len(group) / len(nodes)
        by_time = by_node if on_card or not total_ms else group_ms / total_ms
        host = [_named(node) for node in group if on_card and _computes_shapes(node)]
        operators = () if on_card or not total_ms else _by_operator(group, total_ms)
        shares[name] = ProviderShare(len(group), by_node, by_time, tuple(host), operators)
    elsewhere = [
        node
        for node in nodes
        if node["provider"] != provider and not (on_card and _computes_shapes(node))
    ]
    if on_card:
        lost = len(elsewhere) / len(nodes)
    else:
        lost = sum(share.time_share for name, share in shares.items() if name != provider)
    if elsewhere and (tolerance == 0 or lost > tolerance):
        share = f"{lost:.0%} of the {'nodes' if on_card else 'time'}"
        return _fallback("evaluate", elsewhere, len(nodes), share, provider, tolerance)
    return shares


def _by_operator(
    nodes: Sequence[Mapping[str, Any]], total_ms: float
) -> tuple[tuple[str, int, float], ...]:
    """Return each type of operator with its nodes and its share of a time, the slowest first."""
    times: dict[str, list[float]] = {}
    for node in nodes:
        times.setdefault(node["operator"], []).append(node["ms_per_call"])
    shares = [(name, len(each), round(sum(each) / total_ms, 4)) for name, each in times.items()]
    return tuple(sorted(shares, key=lambda each: -each[2]))


def _computes_shapes(node: Mapping[str, Any]) -> bool:
    """Return whether a node on the host computes a shape: small, integers or a single number."""
    if node["provider"] != _HOST or node["operator"] not in HOST_OPERATORS:
        return False
    return all(
        elements <= (MOST_HOST_ELEMENTS if dtype in _INTEGERS else 1)
        for dtype, elements in node.get("tensors", ())
    )


def _named(node: Mapping[str, Any]) -> str:
    return f"{node['node']} ({node['operator']})"


def _fallback(
    stage: str,
    elsewhere: Sequence[Mapping[str, Any]],
    total: int,
    share: str,
    provider: str,
    tolerance: float,
) -> Failure:
    names = [f"{n['node']} ({n['operator']}, {n['provider']})" for n in elsewhere[:_NAMED]]
    more = f" and {len(elsewhere) - _NAMED} more" if len(elsewhere) > _NAMED else ""
    unit = share.rpartition(" ")[2]
    return Failure(
        stage,
        FailureKind.UNSUPPORTED,
        f"asked for {provider}, but {len(elsewhere)} of {total} nodes ({share}) ran elsewhere: "
        f"{', '.join(names)}{more}. To allow a share of the {unit}, set "
        f"measurement.fallback_tolerance (it is {tolerance:g})",
    )
