"""The problems of the table: half for development, half that are looked at for the table only."""

from __future__ import annotations

from functools import lru_cache

from measured_table import MeasuredTable
from mixed_integer_problem import MixedIntegerProblem
from table_problem import TableProblem

DEVELOPMENT = (
    "hpobench-car",
    "hpobench-phoneme",
    "hpobench-vehicle",
    "hpobench-australian",
    "hpolib-naval_propulsion",
    "hpolib-parkinsons_telemonitoring",
    "nasbench201-cifar10",
    "mixint-f01-d5",
    "mixint-f12-d5",
    "mixint-f35-d5",
    "mixint-f47-d10",
    "mixint-f56-d10",
)
"""Looked at while the sampler was improved."""

UNTOUCHED = (
    "hpobench-kc1",
    "hpobench-segment",
    "hpobench-blood_transfusion",
    "hpobench-credit_g",
    "hpolib-protein_structure",
    "hpolib-slice_localization",
    "nasbench201-cifar100",
    "nasbench201-imagenet",
    "mixint-f03-d5",
    "mixint-f20-d5",
    "mixint-f41-d5",
    "mixint-f50-d10",
    "mixint-f61-d10",
    "mixint-f77-d10",
)
"""For the table only. The two of NAS-Bench-201 have the networks of the one above, trained on other
images: their latencies and sizes are much alike.
"""

INSTANCES = 5
"""Instances of each function of ``mixint``, one after the other by seed."""

_SOURCES = {"hpobench": "HPOBench", "hpolib": "HPOLib", "nasbench201": "NASBench201"}


def problem(name: str, seed: int) -> TableProblem:
    """Return a problem by its name; a seed chooses the instance of a function."""
    return _problem(name, 1 + seed % INSTANCES if name.startswith("mixint") else 0)


@lru_cache
def _problem(name: str, instance: int) -> TableProblem:
    source, _, rest = name.partition("-")
    if source in _SOURCES:
        return MeasuredTable(_SOURCES[source], rest)
    function, dimension = rest.split("-")
    return MixedIntegerProblem(int(function[1:]), int(dimension[1:]), instance)
