"""The command that checks a bundle, here or as a service: ``verify``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from paretune.search.cli.deliver.pairs import headers_of
from paretune.search.cli.study import json_option


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--plugin",
    "plugins",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    multiple=True,
    help="A file that registers the bundle's runtime, if it is not where it was. Repeatable.",
)
@click.option(
    "--url",
    metavar="URL",
    help="Check the service at this address instead, such as http://host:8000 (grpc://host:8001).",
)
@click.option(
    "--protocol",
    metavar="NAME",
    help="How the service is asked: v2 (Open Inference Protocol over HTTP: Triton, OpenVINO Model "
    "Server, MLServer, KServe), v2-grpc, mlflow (/invocations), or json (/predict: exported "
    "services of LitServe, BentoML, Ray Serve).  [default: v2]",
)
@click.option(
    "--model", metavar="NAME", help="The model's name there. Default: the study's, as exported."
)
@click.option(
    "--rate",
    "rate_per_s",
    type=click.FloatRange(min=0, min_open=True),
    help="Also offer this many requests per second (Poisson arrivals, one sample each).",
)
@click.option(
    "--at-capacity",
    is_flag=True,
    help="Offer the capacity of the bundle's serving plan (the lower end of its interval).",
)
@click.option(
    "--max-p99-ms",
    "max_latency_ms",
    type=click.FloatRange(min=0, min_open=True),
    help="Latency budget of a request's p99, in milliseconds. Default: the serving plan's, else "
    "the latency limit of the pick, with its percentile.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0, min_open=True),
    help="How long to offer the rate. Default: as long as the percentile needs, at least 20.",
)
@click.option(
    "--timeout-s",
    type=click.FloatRange(min=0, min_open=True),
    help="Longest time to wait for an answer.  [default: 10]",
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="KEY=VALUE",
    help="A header of every request, such as for authorization. Repeatable.",
)
@click.option(
    "--metrics-url",
    metavar="URL",
    help="Where the server has /metrics, if that is another port than --url.",
)
@click.option(
    "--save",
    "saves",
    is_flag=True,
    help="Save the service's times in BUNDLE (live.json), for later verifications to compare with.",
)
@json_option
def verify(
    bundle: Path, plugins: Sequence[Path], url: str | None, as_json: bool, **live: Any
) -> None:
    """Check whether BUNDLE keeps its manifest's promises, on this machine or as a service.

    Without --url, the file is checked, run on the bundle's samples, compared with the answers it
    gave when it was picked, and timed by the careful protocol. The promise for a time is its
    published interval, extended to the measurement during `pick` if that was outside.

    With --url, a service is asked: is it ready, and do its model's names, types and shapes agree;
    does it give the bundle's answers; how long does an answer take for one client, and what does
    the server add to the model's own time; does it hold a rate within a latency budget; and which
    provider runs the model, if the service tells. What a server adds is not known in advance: save
    its times with --save when it is deployed, and later verifications compare with them. Without
    saved times, only the budget and the model's own time are compared.

    \b
    paretune verify picked
    paretune verify picked --url http://host:8000 --save
    paretune verify picked --url http://host:8000 --rate 200 --max-p99-ms 20
    paretune verify picked --url grpc://host:8001 --protocol v2-grpc --at-capacity

    \b
    Exit codes: 0 as promised; 3 slower; 4 faster; 5 different answers; 6 does not run here, or the
                service refuses; 7 not the file that was picked; 8 cannot tell: the machine was
                busy; 9 the service cannot be reached; 10 it does not hold the rate within the
                budget; 11 it serves another model; 12 it runs on another provider; 13 over the
                budget at one client.
    """
    from paretune.search.study import api

    if url is not None:
        if plugins:
            raise click.UsageError("--plugin is for a check on this machine: leave it or --url out")
        _verify_service(bundle, url, as_json, **live)
        return
    if given := [f"--{name.replace('_', '-')}" for name, value in live.items() if value]:
        names = {"--max-latency-ms": "--max-p99-ms", "--saves": "--save", "--headers": "--header"}
        names["--rate-per-s"] = "--rate"
        told = ", ".join(names.get(each, each) for each in given)
        raise click.UsageError(f"{told}: for a check of a service: pass its address as --url")
    found = api.verify(bundle, plugins, _teller(as_json))
    if as_json:
        from paretune.search.cli.values.base import as_json as as_text
        from paretune.search.cli.values.verify import verify_values

        click.echo(as_text(verify_values(found)))
        sys.exit(int(found.verdict))
    click.echo(str(found))
    sys.exit(int(found.verdict))


def _verify_service(
    bundle: Path,
    url: str,
    as_json: bool,
    protocol: str | None,
    model: str | None,
    headers: Sequence[str],
    timeout_s: float | None,
    metrics_url: str | None,
    **wish: Any,
) -> None:
    """Check a service, and say what was found."""
    from paretune.search.study.serving.service import verify_service

    if wish["at_capacity"] and wish["rate_per_s"] is not None:
        raise click.UsageError("--rate and --at-capacity are two rates: pass one of them")
    found = verify_service(
        bundle,
        url,
        protocol or "v2",
        model=model or "",
        headers=headers_of(headers),
        timeout_s=timeout_s or 10.0,
        metrics_url=metrics_url or "",
        told=_teller(as_json),
        **wish,
    )
    if as_json:
        from paretune.search.cli.values.base import as_json as as_text
        from paretune.search.cli.values.verify import service_values

        click.echo(as_text(service_values(found)))
        sys.exit(int(found.verdict))
    click.echo(str(found))
    sys.exit(int(found.verdict))


def _teller(as_json: bool) -> Callable[[str], None]:
    """Return what tells progress: nothing beside JSON."""
    return (lambda _: None) if as_json else partial(click.echo, err=True)
