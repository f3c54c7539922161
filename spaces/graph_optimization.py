"""How far ONNX Runtime rewrites a model's graph when it loads it."""

from enum import StrEnum
from typing import Self

from paretune.spaces.errors import SpaceError


class GraphOptimization(StrEnum):
    """A level of ONNX Runtime's graph optimizations; its value is the name used in study files.

    Each level has all of the one before. To rewrite nothing at all is not offered: it gains no time
    on any graph, and a model registry could not be told to serve a model that way.

    ============  ===================================================================
    name          what is done
    ============  ===================================================================
    ``basic``     constants folded, nodes without effect removed, simple fusions
    ``extended``  operators fused into ones that only ONNX Runtime has
    ``all``       tensors laid out as the processor likes them, too (ONNX Runtime's default)
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
            SpaceError: If it is no level's value.
        """
        found = next((each for each in cls if each.level == level), None)
        if found is None:
            raise SpaceError(f"graph_optimization_level must be one of 1, 2, 99; got {level!r}")
        return found
