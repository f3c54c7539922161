"""The studies that a host measures for which builds nothing."""

from __future__ import annotations

from paretune.runners.execute.local_executor import LocalExecutor
from paretune.runners.execute.no_builds import NoBuilds
from paretune.runners.failure import Failure
from paretune.runners.fleet.assignment import Assignment
from paretune.runners.fleet.device.description import describe
from paretune.runners.fleet.device.remote_judge import RemoteJudge
from paretune.spaces import StudyError


class MeasuringStudies:
    """Opens studies from their assignments alone: without study file, workload and storage.

    Args:
        scheduler: The scheduler's address: its hosts judge.
        name: The host's name.
    """

    judge = None
    """It has no workload, so it judges nothing."""

    def __init__(self, scheduler: str, name: str) -> None:
        self._scheduler = scheduler
        self._name = name

    def executor(self, assignment: Assignment) -> LocalExecutor:
        """Return an executor that does a study's measurements.

        Raises:
            StoreError: If the folder of the store is not there.
            StudyError: If a runtime has another version than when the search started.
        """
        refuse_new_versions(assignment, self._name)
        judge = RemoteJudge(self._scheduler, assignment)
        return LocalExecutor(
            NoBuilds(), assignment.evaluator(judge, measures=True, judges_here=False)
        )

    def close(self) -> None:
        """Do nothing: nothing is open."""


def refuse_new_versions(assignment: Assignment, name: str) -> None:
    """Refuse to measure with other versions than those that the search was told of.

    Args:
        assignment: What this host has to know of the study.
        name: The host's name.

    Raises:
        StudyError: If a runner has other versions now, or does not start.
    """
    measuring = assignment.measuring
    for runner, now in describe(measuring.runners, assignment.study.parent).runners.items():
        if isinstance(now, Failure):
            raise StudyError(f"the host {name} cannot start the runner {runner}: {now.message}")
        then = measuring.versions.get(runner, {})
        changed = [
            f"{each} {then.get(each, 'none')} → {now.versions.get(each, 'none')}"
            for each in sorted({*then, *now.versions})
            if then.get(each) != now.versions.get(each)
        ]
        if changed:
            raise StudyError(
                f"the host {name} has other versions of the runner {runner} than when the search "
                f"started: {', '.join(changed)}. Run the same command again, which compares them "
                "with those of the study's trials"
            )
