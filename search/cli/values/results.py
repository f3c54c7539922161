"""Which command prints what with ``--json``: the table that docs/json.md is written from."""

from __future__ import annotations

from dataclasses import dataclass

from paretune.search.cli.values.base import Values
from paretune.search.cli.values.frontier import FrontierPoint, TrialValues
from paretune.search.cli.values.machine import CheckValues, DevicesValues
from paretune.search.cli.values.model import CompareValues, MeasureValues
from paretune.search.cli.values.pick import PickValues
from paretune.search.cli.values.search import SearchValues
from paretune.search.cli.values.serving import CapacityValues, EventValues
from paretune.search.cli.values.status import StatusValues
from paretune.search.cli.values.verify import ServiceValues, VerifyValues


@dataclass(frozen=True)
class Result:
    """What a command prints.

    Attributes:
        command: The command, as it is typed, or the tool.
        values: One object of what it prints.
        each: If it prints a list: what there is one object for.
    """

    command: str
    values: type[Values]
    each: str = ""

    @property
    def is_list(self) -> bool:
        """Whether it prints a list of objects."""
        return bool(self.each)


RESULTS = (
    Result("paretune measure MODEL --json", MeasureValues, "batch size"),
    Result("paretune compare MODEL OTHER... --json", CompareValues, "other file"),
    Result("paretune status STUDY --json", StatusValues),
    Result("paretune frontier STUDY --json", FrontierPoint, "point"),
    Result("paretune trial STUDY NUMBER --json", TrialValues),
    Result("paretune pick STUDY --json", PickValues),
    Result("paretune verify BUNDLE --json", VerifyValues),
    Result("paretune verify BUNDLE --url URL --json", ServiceValues),
    Result("paretune doctor STUDY --json", CheckValues, "check"),
    Result("paretune devices --json", DevicesValues),
    Result("paretune capacity SOURCE --json", CapacityValues),
    Result("paretune watch BUNDLE --json", EventValues, "event, each on a line of its own"),
    Result("search, a tool of paretune mcp", SearchValues),
)
"""Every command that prints documented JSON, in the order in which one would use them."""
