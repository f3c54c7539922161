"""The live view: some lines at the bottom of a terminal, drawn again once a second."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from rich.console import Console, ConsoleOptions
from rich.live import Live
from rich.text import Text

REDRAWS_PER_S = 1.0
"""The view shows whole seconds, and shares its cores with what is measured:
`experiments/benchmarks/live_view.py` shows what a redraw costs.
"""


class LiveView:
    """Draws the lines that a function returns, below everything else that is printed.

    Args:
        console: The terminal.
        lines: Returns the lines for a width; called in a thread of the view's own.
    """

    def __init__(self, console: Console, lines: Callable[[int], Sequence[Text]]) -> None:
        self._console, self._lines = console, lines
        self._live: Live | None = None

    def show(self) -> None:
        """Begin to draw, unless it draws already."""
        if self._live is None:
            self._live = Live(
                get_renderable=lambda: self,
                console=self._console,
                refresh_per_second=REDRAWS_PER_S,
                transient=True,
                vertical_overflow="crop",
            )
            self._live.start(refresh=True)

    def hide(self) -> None:
        """Remove the lines."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def redraw(self) -> None:
        """Draw the lines again now."""
        if self._live is not None:
            self._live.refresh()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Text]:
        # The last column stays free: some terminals begin a new line there.
        width = options.max_width - 1
        for line in self._lines(width):
            line.no_wrap = True
            line.truncate(width, overflow="ellipsis")
            yield line
