"""The commands to review a study: ``ui``, ``sync``, ``doctor`` and ``report``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from paretune.search.cli.study import json_option, study_argument


@click.command()
@study_argument
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
def ui(study: Path, port: int) -> None:
    """Open the MLflow UI with STUDY's runs, on this machine only (127.0.0.1)."""
    import os

    from paretune.search.configure.schema import StudyPaths
    from paretune.search.configure.study_file import read_study_file

    paths = StudyPaths(read_study_file(study), study)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    if paths.tracking_uri.startswith("http"):
        click.echo(f"the study's runs are on {paths.tracking_uri}")
        return
    click.echo(f"MLflow UI of {study}: http://127.0.0.1:{port} (Ctrl-C ends it)")
    command += ["--backend-store-uri", paths.tracking_uri]
    command += ["--default-artifact-root", str(paths.artifacts)]
    sys.stdout.flush()
    os.execv(sys.executable, command)


@click.command()
@study_argument
def sync(study: Path) -> None:
    """Bring MLflow up to date with STUDY's storage, the source of truth.

    Use it after MLflow was down, slow or wiped. Running it twice changes nothing more.
    """
    from paretune.search.study import api

    history = api.sync(study)
    click.echo(f"MLflow has all {len(history.records)} trials of the study")


@click.command()
@study_argument
@json_option
def doctor(study: Path, as_json: bool) -> None:
    """Check everything that STUDY wrote for completeness and consistency; change nothing.

    The checks: every finished trial has its record and its files, no candidate was tried twice, the
    frontier equals that of a brute-force comparison, MLflow agrees with the storage, and no killed
    process left anything behind.

    \b
    Exit codes: 0 no problems; 1 there are problems, each with its fix;
                2 the study file has mistakes.
    """
    from paretune.search.study import api

    checks = api.doctor(study)
    if as_json:
        from paretune.search.cli.values import base
        from paretune.search.cli.values.machine import doctor_values

        click.echo(base.as_json(doctor_values(checks)))
    for check in () if as_json else checks:
        click.echo(f"{'PROBLEM' if check.problems else 'ok':<8} {check.name:<11} {check.seen}")
        for problem in check.problems:
            click.echo(f"{'':<20} {problem}")
        if check.problems:
            click.echo(f"{'':<20} fix: {check.fix}")
    sys.exit(1 if any(check.problems for check in checks) else 0)


@click.command()
@study_argument
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("report.html"),
    show_default=True,
    help="The HTML file to write.",
)
def report(study: Path, out: Path) -> None:
    """Write STUDY as one HTML report, for readers who know nothing of it.

    It shows the frontier (hover, filter by a budget), two points side by side, intervals, failures,
    and where the time went. The file needs no network.
    """
    from paretune.search.study import api

    api.report(study, out)
    click.echo(f"wrote {out}")
