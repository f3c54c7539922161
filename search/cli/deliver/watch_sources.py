"""The sources of ``paretune watch``, made from its options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from paretune.search.cli.deliver.pairs import headers_of, pairs

if TYPE_CHECKING:
    import threading

    from paretune.search.deliver.watch.listeners.listener import Listener
    from paretune.search.deliver.watch.settings import WatchSettings


def watch_url(
    bundle: Path,
    manifest: Mapping[str, Any],
    settings: WatchSettings,
    listeners: Sequence[Listener],
    asked: Mapping[str, Any],
    stop: threading.Event,
) -> int:
    """Probe a service; return the exit code."""
    from paretune.search.deliver.export import plain_name
    from paretune.search.deliver.live.bundle_requests import BundleRequests
    from paretune.search.deliver.live.service import PROTOCOLS, Endpoint, UnreachableError
    from paretune.search.deliver.watch.references import ReferenceKind, chosen_reference
    from paretune.search.deliver.watch.session import Session, start
    from paretune.search.deliver.watch.sources.probe import Probe
    from paretune.search.deliver.watch.sources.service_client import ServiceClient
    from paretune.search.deliver.watch.watcher import Watcher

    endpoint = Endpoint(
        asked["url"],
        asked["model"] or plain_name(str(manifest["study"])),
        headers_of(asked["headers"]),
        asked["timeout_s"],
    )
    service = PROTOCOLS.get(asked["protocol"]).open(endpoint)
    try:
        service.check_ready()
    except UnreachableError as error:
        click.echo(f"waiting for it: {error}", err=True)
    kind = asked["reference"] and ReferenceKind(asked["reference"])
    reference = chosen_reference(kind, bundle, manifest, settings, is_probe=True)
    watcher = Watcher(settings, reference, learn=asked["learn"])
    client = ServiceClient(service, BundleRequests.of(bundle, manifest))
    probe = Probe(
        client,
        asked["every_s"],
        group=asked["group"],
        stop=stop.is_set,
        most=asked["requests"],
    )
    with Session(watcher, listeners).open() as session:
        start(session, settings)
        code = session.run(probe)
    client.close()
    return code


def watch_log(
    bundle: Path,
    manifest: Mapping[str, Any],
    settings: WatchSettings,
    listeners: Sequence[Listener],
    asked: Mapping[str, Any],
    stop: threading.Event,
) -> int:
    """Read or follow a log; return the exit code."""
    from paretune.search.deliver.watch.data_reference import DataReference
    from paretune.search.deliver.watch.references import ReferenceKind, chosen_reference
    from paretune.search.deliver.watch.session import Session, start
    from paretune.search.deliver.watch.sources.log_columns import LogColumns
    from paretune.search.deliver.watch.sources.log_file import LogFile
    from paretune.search.deliver.watch.watcher import Watcher

    data = DataReference.of_bundle(bundle)
    kind = asked["reference"] and ReferenceKind(asked["reference"])
    reference = chosen_reference(kind, bundle, manifest, settings, is_probe=False)
    watcher = Watcher(settings, reference, learn=asked["learn"], data=data)
    log = LogFile(
        asked["log"],
        LogColumns.of(pairs(asked["columns"], "--column WHAT=COLUMN")),
        frozenset(data.features if data else ()),
        follow=not asked["once"],
        stop=stop.is_set,
    )
    with Session(watcher, listeners).open() as session:
        start(session, settings)
        code = session.run(log)
    if log.unread:
        click.echo(f"{log.unread} lines could not be read", err=True)
    if watcher.reference is None:
        click.echo(
            f"nothing was watched: the log has {watcher.requests} requests, and the reference "
            f"takes {asked['learn']} (--learn)",
            err=True,
        )
    return code


def watch_prometheus_server(
    bundle: Path,
    manifest: Mapping[str, Any],
    settings: WatchSettings,
    listeners: Sequence[Listener],
    asked: Mapping[str, Any],
    stop: threading.Event,
) -> int:
    """Read what Prometheus has scraped; return the exit code."""
    import time

    from paretune.search.deliver.export import plain_name
    from paretune.search.deliver.watch.references import prometheus_reference
    from paretune.search.deliver.watch.session import Session, start, watch_prometheus
    from paretune.search.deliver.watch.sources.prometheus_source import PrometheusSource
    from paretune.search.deliver.watch.sources.server_metrics import SERVERS
    from paretune.search.deliver.watch.watcher import Watcher

    if (asked["server"] is None) == (asked["query"] is None):
        raise click.UsageError("--prometheus needs --server NAME, or --query SELECTOR with --unit")
    if asked["query"] is not None:
        query, unit_ms = asked["query"], {"s": 1e3, "ms": 1.0, "us": 1e-3}[asked["unit"]]
    else:
        server = SERVERS.get(asked["server"])
        query = server.query(server.buckets, asked["model"] or plain_name(str(manifest["study"])))
        unit_ms = server.unit_ms
    headers = headers_of(asked["headers"])
    source = PrometheusSource(asked["prometheus"], query, unit_ms, asked["step_s"], headers)
    reference = prometheus_reference(source, settings, asked["learn_hours"])
    watcher = Watcher(settings, reference)
    with Session(watcher, listeners).open() as session:
        start(session, settings)
        return watch_prometheus(session, source, time.time(), stop.is_set)
