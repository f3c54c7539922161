"""The counters that a study's metrics need, on the devices that it measures on."""

from __future__ import annotations

from collections.abc import Sequence

from paretune.runners import gpu
from paretune.runners.execute.device.description import without_energy
from paretune.runners.execute.fleet import Fleet
from paretune.runners.measure.evaluator import Evaluator
from paretune.runners.metric import METRICS
from paretune.search.record.objective import Constraint, Objective
from paretune.search.study.parts import on_the_device
from paretune.spaces import RunSpec, SearchSpace, StudyError, split_target


def check_counters(
    evaluator: Evaluator,
    space: SearchSpace,
    wanted: Sequence[Objective | Constraint],
    fleet: Fleet | None = None,
) -> None:
    """Refuse a study that needs a counter that a device lacks, on the machine that measures."""
    needs = {METRICS[each.metric].needs: each.metric for each in wanted if each.metric in METRICS}
    if not needs.keys() & {"energy", "card"}:
        return
    runs = [RunSpec(*split_target(str(v)), 1, 1) for v in space.axis("execution_provider").values]
    devices = {evaluator.runners[run.runner].device(run) for run in runs}
    if "card" in needs and (others := sorted(each for each in devices if not gpu.is_card(each))):
        raise StudyError(
            f"{needs['card']} is measured on NVIDIA cards only, but the space has back ends on "
            f"{', '.join(others)}: drop the metric, or these back ends"
        )
    if "energy" not in needs:
        return
    if without := on_the_device(fleet, without_energy, sorted(devices)):
        where = f" of the device {fleet.device}" if fleet else ""
        raise StudyError(
            f"energy_mj needs an energy counter, but there is no readable one on "
            f"{', '.join(without)}{where}: the processor's (RAPL) is read from "
            "/sys/class/powercap, often by root only; a card's from its driver. Make it readable "
            "for this user, or drop the metric"
        )
