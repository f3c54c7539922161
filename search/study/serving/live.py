"""The report of a study that may be running now."""

from __future__ import annotations

from functools import partial

from paretune.search.deliver.report.html_report import report_html
from paretune.search.deliver.report.layers import Layers
from paretune.search.deliver.report.live_report import LiveReport
from paretune.search.study.open_study import OpenStudy


def live_report(study: OpenStudy) -> LiveReport:
    """Return a study's report as it is whenever it is asked for; nothing is written.

    Raises:
        StudyError: If the study has not been started.
    """
    _ = study.definition
    return LiveReport(partial(_revision, study), partial(_html, study, Layers(study.store)))


def _revision(study: OpenStudy) -> str:
    """Return a text that changes with each trial that begins or ends, and each confirmation."""
    storage, confirmed = study.storage, study.storage.confirmed()
    trials = " ".join(map(str, [storage.trials_done, *storage.under_way]))
    return f"{trials}; {storage.is_confirming}; {confirmed.at}; {storage.ended}"


def _html(study: OpenStudy, layers: Layers) -> str:
    return report_html(
        study.history(),
        study.name,
        str(study.file),
        layers,
        revision=_revision(study),
        state=_state(study),
    )


def _state(study: OpenStudy) -> str:
    """Return what the study is doing, in words."""
    storage = study.storage
    if storage.owner is None:
        ended = storage.ended
        return f"The search has ended: {ended[0]}." if ended else "Nobody is searching this study."
    done = storage.trials_done
    if storage.is_confirming:
        return f"The search of {done} trials is over; its frontier is measured again now."
    now = [f"trial {number} ({each.label})" for number, each in storage.under_way.items()]
    under_way = f"; under way: {', '.join(now)}" if now else ""
    return f"The search is running: {done} trials done{under_way}. This page reloads by itself."
