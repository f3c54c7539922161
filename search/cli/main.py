"""The command line. Heavy imports live inside the commands: ``--help`` answers at once."""

from __future__ import annotations

import click

from paretune.runners.telemetry import switch_off_telemetry
from paretune.search.cli import completion as cli_completion
from paretune.search.cli import fleet as cli_fleet
from paretune.search.cli import init as cli_init
from paretune.search.cli import model as cli_model
from paretune.search.cli import results as cli_results
from paretune.search.cli import review as cli_review
from paretune.search.cli import search as cli_search
from paretune.search.cli.deliver import bundle as cli_bundle
from paretune.search.cli.deliver import capacity as cli_capacity
from paretune.search.cli.deliver import export as cli_export
from paretune.search.cli.deliver import verify as cli_verify
from paretune.search.cli.deliver import watch as cli_watch
from paretune.search.cli.error_group import ErrorGroup
from paretune.search.cli.mcp_server import command as cli_mcp
from paretune.search.cli.study import json_option


@click.group(cls=ErrorGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="paretune")
def main() -> None:
    """Find the best fast versions of a trained model, measured on this machine.

    \b
    In the evening:   paretune search study.yaml
    In the morning:   paretune frontier study.yaml
                      paretune pick study.yaml --max-latency-ms 5 --out model/
    To review:        paretune ui study.yaml
    To start:         paretune init
      from a file:    paretune search --onnx model.onnx --data samples.npz
    Any ONNX file:    paretune measure model.onnx --batch-size 1,8,32
                      paretune compare model.onnx other.onnx

    A study file names a workload (one Python class with your model and data) and the space to
    search: students, pruning ratios, quantizations, batch sizes, execution providers, threads.
    Every candidate is built for real and measured in fresh processes.
    """
    switch_off_telemetry()


@main.command()
@click.option("--slow", is_flag=True, help="Also try those whose first call takes minutes.")
@json_option
def devices(slow: bool, as_json: bool) -> None:
    """Try every execution provider; say which run here, and why the others do not."""
    from paretune.runners.runtimes.devices import devices as find_devices
    from paretune.runners.runtimes.devices import machine
    from paretune.search.review.console import console, device_table

    if as_json:
        from paretune.search.cli.values import base
        from paretune.search.cli.values.machine import devices_values

        click.echo(base.as_json(devices_values(machine(), find_devices(slow=slow))))
        return
    console.print(machine(), soft_wrap=True)
    console.print(device_table(find_devices(slow=slow)))


main.add_command(cli_search.search)
main.add_command(cli_search.confirm)
main.add_command(cli_init.init)
main.add_command(cli_fleet.worker)
main.add_command(cli_fleet.fleet)
main.add_command(cli_results.status)
main.add_command(cli_results.frontier)
main.add_command(cli_results.trial)
main.add_command(cli_review.ui)
main.add_command(cli_review.sync)
main.add_command(cli_review.doctor)
main.add_command(cli_review.report)
main.add_command(cli_model.measure)
main.add_command(cli_model.compare)
main.add_command(cli_bundle.pick)
main.add_command(cli_capacity.capacity)
main.add_command(cli_verify.verify)
main.add_command(cli_export.export)
main.add_command(cli_watch.watch)
main.add_command(cli_mcp.mcp)
main.add_command(cli_completion.completion)
