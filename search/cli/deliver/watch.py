"""The command that watches a service: ``watch``."""

from __future__ import annotations

import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paretune.search.cli.deliver.watch_sources import (
    watch_log,
    watch_prometheus_server,
    watch_url,
)
from paretune.search.deliver.watch.settings import LEARN_REQUESTS

if TYPE_CHECKING:
    from paretune.search.deliver.watch.listeners.listener import Listener, Watched

_POSITIVE = click.FloatRange(min=0, min_open=True)


@click.command()
@click.argument("bundle", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option("--url", metavar="URL", help="Probe the service at this address.")
@click.option(
    "--log",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Read a log of requests: CSV with a header, or a JSON object per line. It is followed.",
)
@click.option(
    "--prometheus",
    metavar="URL",
    help="Ask a Prometheus server for the model server's histogram of latency.",
)
@click.option(
    "--protocol",
    default="v2",
    show_default=True,
    help="With --url: how the service is asked: v2, v2-grpc, mlflow or json.",
)
@click.option(
    "--model", metavar="NAME", help="The model's name there. Default: the study's, as exported."
)
@click.option(
    "--header",
    "headers",
    multiple=True,
    metavar="KEY=VALUE",
    help="With --url or --prometheus: a header of every request. Repeatable.",
)
@click.option(
    "--timeout-s",
    type=_POSITIVE,
    default=10.0,
    show_default=True,
    help="With --url: longest time to wait for an answer.",
)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(min=0),
    default=1.0,
    show_default=True,
    help="With --url: seconds from one group of requests to the next.",
)
@click.option(
    "--group",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="With --url: requests in a group, one after the other; the first two wake the service, "
    "and are not timed.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="WHAT=COLUMN",
    help="With --log: where it has the time, latency_ms (or _s, _us, _ns), status, or a feature of "
    "the bundle's reference.json, such as 'output 0: class'. Repeatable.",
)
@click.option(
    "--server",
    metavar="NAME",
    help="With --prometheus: whose metrics these are: triton, ovms, mlserver or kserve.",
)
@click.option(
    "--query",
    metavar="SELECTOR",
    help="With --prometheus: the buckets of another histogram, such as "
    "'http_seconds_bucket{path=\"/predict\"}'.",
)
@click.option(
    "--unit",
    type=click.Choice(["s", "ms", "us"]),
    default="s",
    show_default=True,
    help="With --query: the unit of its bounds.",
)
@click.option(
    "--step",
    "step_s",
    type=_POSITIVE,
    default=15.0,
    show_default=True,
    help="With --prometheus: seconds of a step, not less than between two scrapes.",
)
@click.option(
    "--reference",
    type=click.Choice(["live", "manifest", "learn"]),
    help="What is published: live.json (`paretune verify --url --save`), the manifest's intervals, "
    "or what the service gives first. Default: live with --url if the file is there, else learn.",
)
@click.option(
    "--learn",
    type=click.IntRange(min=440),
    default=LEARN_REQUESTS,
    show_default=True,
    help="Requests to learn the reference from. They should take five minutes or more, so that the "
    "reference has seen how the machine's speed varies: of a busy log, take more.",
)
@click.option(
    "--learn-hours",
    type=_POSITIVE,
    default=24.0,
    show_default=True,
    help="With --prometheus: hours before now to learn the reference from.",
)
@click.option(
    "--false-alarm-every",
    type=_POSITIVE,
    default=1_000_000,
    show_default=True,
    help="Requests between two false alarms, on average, at the least.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="How much slower is still as published, in percent.",
)
@click.option(
    "--spike-s",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    help="A slow time that is over within so many seconds is a spike, not a degradation.",
)
@click.option(
    "--restart-s",
    type=_POSITIVE,
    default=60.0,
    show_default=True,
    help="A service that is away for longer is down, and not restarting.",
)
@click.option("--once", is_flag=True, help="With --log: stop at the end of the file.")
@click.option(
    "--requests", type=click.IntRange(min=1), help="With --url: stop after so many requests."
)
@click.option("--webhook", metavar="URL", help="Post each event there, as JSON.")
@click.option(
    "--metrics-port",
    type=click.IntRange(0, 65535),
    help="Serve Prometheus metrics on this port (pip install 'paretune[watch]').",
)
@click.option("--mlflow", metavar="URI", help="Write a run with metrics and events to this MLflow.")
@click.option("--json", "as_json", is_flag=True, help="Print events as JSON, one per line.")
def watch(bundle: Path, **asked: Any) -> None:
    """Watch a service of BUNDLE, and tell when it leaves what was published.

    Give one source: --url probes the service with the bundle's samples and compares the answers;
    --log follows a log of requests; --prometheus reads what a model server has counted.

    A sequential test with a stated rate of false alarms tells degraded (slower, more errors, or
    away), drifted (inputs or outputs differ from those of the pick), different answers, and
    recovered. A spike that is over by itself and a restart are told, too, but are no alarms.

    \b
    paretune watch picked/ --url http://host:8000 --webhook https://chat.example/hook
    paretune watch picked/ --log access.jsonl --column latency_s=request_time --column time=ts
    paretune watch picked/ --prometheus http://prometheus:9090 --server triton --metrics-port 9091

    \b
    Exit codes, of the state at the end: 0 as published; 3 degraded;
                                         5 drifted or different answers.
    """
    from paretune.search.deliver.bundle_run import read_manifest
    from paretune.search.deliver.watch.listeners.listener import Watched
    from paretune.search.deliver.watch.settings import WatchSettings

    sources = [name for name in ("url", "log", "prometheus") if asked[name] is not None]
    if len(sources) != 1:
        raise click.UsageError(
            "give one source: --url, --log or --prometheus"
            + (f"; got {' and '.join('--' + name for name in sources)}" if sources else "")
        )
    manifest = read_manifest(bundle)
    settings = WatchSettings(
        false_alarm_every=asked["false_alarm_every"],
        tolerance=asked["tolerance"] / 100,
        spike_s=asked["spike_s"],
        restart_s=asked["restart_s"],
    )
    listeners = _listeners(Watched.of_manifest(manifest), asked)
    runs = {"url": watch_url, "log": watch_log, "prometheus": watch_prometheus_server}
    with _stop_by_signal() as stop:
        code = runs[sources[0]](bundle, manifest, settings, listeners, asked, stop)
    sys.exit(code)


def _listeners(watched: Watched, asked: Mapping[str, Any]) -> list[Listener]:
    from paretune.search.deliver.watch.listeners.background import InBackground
    from paretune.search.deliver.watch.listeners.listener import Lines
    from paretune.search.deliver.watch.listeners.metrics_endpoint import MetricsEndpoint
    from paretune.search.deliver.watch.listeners.mlflow_run import MlflowRun
    from paretune.search.deliver.watch.listeners.webhook import Webhook

    def as_line(event: Any) -> str:
        return json.dumps({**watched.labels, **event.as_dict()}) if asked["as_json"] else event.line

    found: list[Listener] = [Lines(click.echo, as_line)]
    if asked["metrics_port"] is not None:
        endpoint = MetricsEndpoint(asked["metrics_port"], watched)
        click.echo(f"metrics: http://localhost:{endpoint.port}/metrics", err=True)
        found.append(endpoint)
    if asked["webhook"] is not None:
        found.append(InBackground(Webhook(asked["webhook"], watched)))
    if asked["mlflow"] is not None:
        found.append(InBackground(MlflowRun(asked["mlflow"], watched)))
    return found


@contextmanager
def _stop_by_signal() -> Iterator[threading.Event]:
    """Yield an event that SIGINT and SIGTERM set, so that a watch ends with its exit code."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda *_: stop.set()) for number in signals]
    try:
        yield stop
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)
