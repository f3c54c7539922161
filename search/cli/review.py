"""The commands to review a study: ``ui``, ``sync``, ``doctor`` and ``report``."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import click

from paretune.search.cli.study import json_option, study_argument


@click.command()
@study_argument
@click.option("--port", type=click.IntRange(1, 65535), default=5000, show_default=True)
@click.option(
    "--live", is_flag=True, help="Serve the report instead; it reloads whenever a trial ends."
)
def ui(study: Path, port: int, live: bool) -> None:
    """Open the MLflow UI with STUDY's runs, on this machine only (127.0.0.1).

    --live shows a search while it runs, as the report of `paretune report`: with intervals, the
    published frontier and the rule of `paretune pick`. It only reads.
    """
    import os

    if live:
        _live(study, port)
        return

    from paretune.search.configure.schema import StudyPaths
    from paretune.search.configure.study_file import read_study_file

    config = read_study_file(study)
    paths = StudyPaths(config, study)
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    if paths.tracking_uri.startswith("http"):
        click.echo(f"the study's runs are on {paths.tracking_uri}")
        return
    from paretune.search.review.mlflow.experiment import view_address

    address = f"http://127.0.0.1:{port}"
    place = view_address(paths.tracking_uri, config.name) if paths.output.is_dir() else ""
    click.echo(f"MLflow UI of {study}: {address}{place} (Ctrl-C ends it)")
    command += ["--backend-store-uri", paths.tracking_uri]
    command += ["--default-artifact-root", str(paths.artifacts)]
    sys.stdout.flush()
    os.execv(sys.executable, command)


def _live(study: Path, port: int) -> None:
    # Not Optuna Dashboard (0.21, which opens the storage of Optuna 5): it shows one value per
    # objective, of the search alone, without intervals, gains and what was published, and whoever
    # opens its page can delete the study. The report only reads, and needs no package.
    from paretune.search.deliver.report.live_report import live_server
    from paretune.search.study.open_study import OpenStudy
    from paretune.search.study.serving.live import live_report
    from paretune.spaces import StudyError

    report = live_report(OpenStudy(study))
    try:
        server = live_server(report, port)
    except OSError as error:
        raise StudyError(f"cannot serve at port {port}: {error}; take another --port") from error
    with server:
        click.echo(f"live report of {study}: http://127.0.0.1:{port} (Ctrl-C ends it)")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            server.serve_forever()


@click.command()
@study_argument
def sync(study: Path) -> None:
    """Bring MLflow up to date with STUDY's storage, the source of truth.

    Use it after MLflow was down, slow or wiped. Running it twice changes nothing more.
    """
    from paretune.search.study import api

    history = api.sync(study)
    click.echo(f"MLflow has all trials of the study: {len(history.records)}")


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

    It picks a point under a budget by the rule of `paretune pick`, and shows every point with its
    intervals (filters: device, batch size, quantization), two points side by side with their
    operators and layers, failures, and where the time went. The file needs no network.
    """
    from paretune.search.study import api

    api.report(study, out)
    click.echo(f"wrote {out}")
