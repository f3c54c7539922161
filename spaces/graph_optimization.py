"""ONNX Runtime's levels of graph optimization."""

from enum import StrEnum
from typing import Self

from paretune.spaces.errors import SpaceError


class GraphOptimization(StrEnum):
    """A level of graph optimization; its value is the name used in study files.

    Each level includes the previous one. There is no level without any optimization: it is faster
    on no graph, and a model registry could not serve a model that way.

    ============  ===================================================================
    name          effect
    ============  ===================================================================
    ``basic``     constants folded, nodes without effect removed, simple fusions
    ``extended``  operators fused into ones that only ONNX Runtime has
    ``all``       also memory layouts for the processor (ONNX Runtime's default)
    ============  ===================================================================
    """

    BASIC = "basic"
    EXTENDED = "extended"
    ALL = "all"

    @property
    def level(self) -> int:
        """The value of ONNX Runtime's ``GraphOptimizationLevel``."""
        return {"basic": 1, "extended": 2, "all": 99}[self.value]

    @classmethod
    def of_level(cls, level: int) -> Self:
        """Undo :attr:`level`.

        Raises:
            SpaceError: If no level has this value.
        """
        found = next((each for each in cls if each.level == level), None)
        if found is None:
            raise SpaceError(f"graph_optimization_level must be one of 1, 2, 99; got {level!r}")
        return found
