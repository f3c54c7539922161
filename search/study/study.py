"""The study as an object: the commands, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from paretune.search.configure.study_file import read_study_file
from paretune.search.configure.written_study import write_study_file
from paretune.search.deliver.picked import Pick
from paretune.search.record.history import History
from paretune.search.review.row_list import FrontierRows
from paretune.search.review.trials_frame import trials_frame
from paretune.search.run.search_result import SearchResult
from paretune.search.study import api
from paretune.search.study.doctor import Check
from paretune.spaces import StudyError

if TYPE_CHECKING:
    from pandas import DataFrame
    from plotly.graph_objects import Figure


class Study:
    """A study: from a study file, or described here.

    The command line can use the study in either form: ``paretune status FOLDER/study.yaml``.

    >>> study = Study("study.yaml")                                            # doctest: +SKIP
    >>> study = Study(workload=Mine, space={"quantization": ["fp32", "int8-static"]})
    ... # doctest: +SKIP
    >>> study.run(hours=8)                                                     # doctest: +SKIP
    >>> study.pick(max_latency_ms=5, prefer="latency").save("picked")          # doctest: +SKIP

    Args:
        file: The study file; all other arguments are for a study without one.
        workload: The workload's class, at the top level of a ``.py`` file, or ``FILE.py:CLASS``.
        space: The values of each axis, as in a study file: at least the baseline's.
        budget: When the study ends, such as ``{"trials": 50}``.
        folder: The study's folder; ``NAME-study`` in the current folder by default.
        name: Its name; the workload's by default.
        sections: Other sections of a study file by name, such as ``strategy={"seed": 1}``.

    Attributes:
        file: The study file; one with the same content is written if none was given.

    Raises:
        ConfigError: If the study has mistakes, all of them at once.
        StudyError: If neither or both of a file and a workload are given, or the workload's class
            cannot be imported by another process.
    """

    def __init__(
        self,
        file: str | Path | None = None,
        *,
        workload: type | str | None = None,
        space: Mapping[str, Sequence[Any]] | None = None,
        budget: Mapping[str, Any] | None = None,
        folder: str | Path | None = None,
        name: str | None = None,
        **sections: Any,
    ) -> None:
        described = [workload, space, budget, folder, name, *sections.values()]
        if file is not None and any(each is not None for each in described):
            raise StudyError(
                "a study file describes the whole study: pass either the file or the other "
                "arguments"
            )
        if file is None and (workload is None or space is None):
            raise StudyError("a study needs either a study file, or workload= and space=")
        if file is None:
            values = {"space": dict(space or {}), "budget": budget and dict(budget), **sections}
            where = None if folder is None else Path(folder)
            file = write_study_file(workload or "", where, name, values)
        self.file = Path(file)
        self.name = read_study_file(self.file).name

    def run(self, **options: Any) -> SearchResult:
        """Run the study, or continue it; see :func:`paretune.run` for the options."""
        return api.run(self.file, **options)

    def confirm(self, *, hours: float | None = None) -> History:
        """Measure the plausible frontier again, and publish it; see :func:`paretune.confirm`."""
        return api.confirm(self.file, hours=hours)

    @property
    def history(self) -> History:
        """All trials in the storage, also those of a search that is running now."""
        return api.status(self.file)

    @property
    def published(self) -> FrontierRows:
        """The published frontier with the baseline; empty before the first confirmation."""
        history = self.history
        return FrontierRows(history, kinds=("published", "baseline") if history.published else ())

    @property
    def searched(self) -> FrontierRows:
        """The search's own frontier, with unconfirmed values."""
        return FrontierRows(self.history, searched=True)

    def trials_dataframe(self) -> DataFrame:
        """Return every trial as a row of a data frame (see :func:`trials_frame`)."""
        return trials_frame(self.history)

    def plot_frontier(self, *, searched: bool = False) -> Figure:
        """Return an interactive figure of all measured trials and the frontier."""
        from paretune.search.review.plot import pareto_figure

        return pareto_figure(self.history, self.name, searched=searched)

    def pick(self, **wish: Any) -> Pick:
        """Return the best point that keeps a wish; see :func:`paretune.pick` for the arguments.

        :meth:`Pick.save` writes it to a folder.
        """
        return api.pick(self.file, **wish)

    def report(self, out: str | Path) -> None:
        """Write the study as one HTML report that needs no network."""
        api.report(self.file, out)

    def doctor(self) -> list[Check]:
        """Check everything the study wrote."""
        return api.doctor(self.file)

    def sync(self) -> History:
        """Bring MLflow up to date with the study's storage."""
        return api.sync(self.file)

    def __repr__(self) -> str:
        return f"Study({str(self.file)!r})"
