"""Rows of a frontier as a list that notebooks show as a table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, get_args, overload

from paretune.search.record.history import History
from paretune.search.review.frontier_rows import FrontierRow, Kind, frontier_rows, row_values
from paretune.search.review.frontier_table import frontier_columns, frontier_notes

if TYPE_CHECKING:
    from pandas import DataFrame


class FrontierRows(Sequence[FrontierRow]):
    """The rows of a frontier, in the order of the first objective, the baseline first.

    Args:
        history: The study.
        searched: Use the search's own frontier, with unconfirmed values.
        kinds: Use only rows of these kinds.
    """

    def __init__(
        self,
        history: History,
        *,
        searched: bool = False,
        kinds: Collection[Kind] = get_args(Kind),
    ) -> None:
        self.history = history
        rows = frontier_rows(history, searched=searched)
        self.rows = tuple(row for row in rows if row.kind in kinds)

    def to_frame(self) -> DataFrame:
        """Return a data frame, one row per point, with the columns of ``frontier --format csv``.

        Units are in the column names; intervals are 95 % intervals, ``NAME_low`` and ``NAME_high``.
        """
        from pandas import DataFrame

        return DataFrame([row_values(row, self.history) for row in self.rows])

    @overload
    def __getitem__(self, index: int) -> FrontierRow: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[FrontierRow]: ...
    def __getitem__(self, index: int | slice) -> FrontierRow | Sequence[FrontierRow]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[FrontierRow]:
        return iter(self.rows)

    def __repr__(self) -> str:
        if not self.rows:
            return "no rows"
        return f"{self._shown().to_string(index=False)}\n{frontier_notes(self.history, self.rows)}"

    def _repr_html_(self) -> str:
        if not self.rows:
            return "no rows"
        table = self._shown().to_html(index=False)
        notes = escape(frontier_notes(self.history, self.rows)).replace("\n", "<br>")
        return f"{table}<p>{notes}</p>"

    def _shown(self) -> DataFrame:
        """Return what a wide terminal shows: texts, axes that vary, objectives, gains."""
        from pandas import DataFrame

        return DataFrame(frontier_columns(self.history, self.rows, is_wide=True))
