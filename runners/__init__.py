"""Make candidates and measure them: workloads, stages, the artifact store and the runners."""

from runners.data import Data, Split
from runners.onnx_workload import OnnxWorkload
from runners.recipe import Recipe
from runners.workload import Workload

__all__ = ["Data", "OnnxWorkload", "Recipe", "Split", "Workload"]
