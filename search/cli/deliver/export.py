"""The command ``export``: a bundle in the layout of a server."""

from __future__ import annotations

from pathlib import Path

import click

_OPTIONS = {
    "rate_per_s": "--rate",
    "peak_rate_per_s": "--peak-rate",
    "hit_rate": "--hit-rate",
    "max_latency_ms": "--max-p99-ms",
    "image": "--image",
    "storage_uri": "--storage-uri",
    "server": "--server",
}


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--target",
    required=True,
    metavar="NAME",
    help="Where the model goes: triton, kserve, ovms, mlserver, mlflow, litserve, bentoml, "
    "rayserve, docker, prometheus, grafana, or a target of an installed package.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, file_okay=False),
    help="The folder to write; what an earlier export wrote there is replaced.",
)
@click.option("--name", help="The model's name at the target. Default: the study's name.")
@click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Requests per second to hold: how many replicas that takes. Needs a serving plan.",
)
@click.option(
    "--peak-rate",
    "peak_rate_per_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Highest rate to scale out for. Default: twice --rate.",
)
@click.option(
    "--hit-rate",
    type=click.FloatRange(min=0, max=1),
    help="Share of requests that repeat earlier ones: cache the answers, and say what it gives.",
)
@click.option(
    "--max-p99-ms",
    "max_latency_ms",
    type=click.FloatRange(min=0, min_open=True),
    help="Latency budget of a request, for a bundle without a serving plan: what it leaves after "
    "the p95 of a call is the queue delay.",
)
@click.option("--image", help="The container image that holds the service (see --target docker).")
@click.option("--storage-uri", help="Where the cluster reads the model from, such as s3://models.")
@click.option(
    "--server",
    metavar="NAME",
    help="For docker, and for kserve with --image: the server in the container, litserve (the "
    "default), bentoml, rayserve or mlserver. For prometheus and grafana: the server whose metrics "
    "they read, triton, ovms, mlserver or kserve.",
)
def export(bundle: Path, target: str, out: Path, name: str | None, **given: object) -> None:
    """Write BUNDLE's model for a server, configured with the measured figures.

    BUNDLE is a folder of `paretune pick --out`. Run `paretune capacity` on it first: instances,
    batch, queue delay and capacity come from its serving plan. Without one, the export has one
    instance and the measured batch, and says so. NOTES.md beside the files says what was measured,
    what to expect, and how to check the running service.

    \b
    paretune capacity picked/ --max-p99-ms 20
    paretune export picked/ --target triton --out repository/
    paretune export picked/ --target kserve --rate 200 --storage-uri s3://models/iris --out deploy/
    paretune export picked/ --target docker --rate 200 --hit-rate 0.3 --out image/
    """
    from paretune.search.deliver.export import export_bundle
    from paretune.search.deliver.target import TARGETS, ExportSettings

    record = TARGETS.get(target)
    settings = ExportSettings(name="", **given)  # type: ignore[arg-type]
    if unread := record.unread(settings):
        readers = [each.name for each in TARGETS if set(unread) <= set(each.settings or ())]
        options = " and ".join(_OPTIONS[each] for each in unread)
        raise click.UsageError(
            f"--target {target} does not read {options}; "
            + (f"these do: {', '.join(readers)}" if readers else "no target reads all of them")
        )
    done = export_bundle(bundle, record, out, settings, name)
    click.echo(f"wrote {done.main}")
    for notice in done.notices:
        click.echo(notice)
    if done.hint:
        # Its versions are those of the measurement, and a server has many more.
        where = ", in an environment of its own" if done.hint.startswith("pip ") else ""
        click.echo(f"next{where}: {done.hint}")
