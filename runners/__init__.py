"""Make candidates and measure them: workloads, stages, the artifact store and the runners."""

from runners.data import Data, Split
from runners.workload import Recipe, Workload

__all__ = ["Data", "Recipe", "Split", "Workload"]
