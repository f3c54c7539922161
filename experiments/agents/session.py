"""A session of an agent with ``paretune mcp``, by the official SDK's own client.

    python experiments/agents/session.py digits.onnx samples.npz --labels digit

The files are those of docs/onnx.md; any ONNX file with samples will do. It measures the file,
searches for a few minutes, asks how far the search is until it has ended, picks the fastest point
that loses at most half a point, and verifies the bundle. It prints every call with its arguments
and the part of the answer that an agent would read. Needs the extra ``mcp``.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

import anyio
from mcp import Client, StdioServerParameters

EVERY_S = 20
"""Seconds between two questions for the status."""


async def session(options: argparse.Namespace) -> None:
    """Make a model file faster, step by step."""
    # By itself, the SDK gives a server few of the variables that this process has.
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "paretune", "mcp"], env=dict(os.environ)
    )
    async with Client(server) as client:

        async def call(tool: str, keys: str = "", **arguments: Any) -> Any:
            given = ", ".join(f"{name}={json.dumps(value)}" for name, value in arguments.items())
            print(f"> {tool}({given})")
            answer = await client.call_tool(tool, arguments)
            if answer.is_error:
                raise SystemExit(answer.content[0].text)
            found = answer.structured_content
            found = found["result"] if set(found) == {"result"} else found
            for each in found if isinstance(found, list) else [found]:
                shown = {key: _at(each, key) for key in keys.split()}
                print(f"  {json.dumps(shown, ensure_ascii=False)}")
            return found

        model, data = str(options.model), str(options.data)
        print("tools:", ", ".join(tool.name for tool in (await client.list_tools()).tools))
        await call(
            "measure", "statistics.latency_p95_ms.value bottleneck", model=model, careful=False
        )
        out = str(options.out)
        given = {"onnx": model, "data": data, "labels": options.labels, "out": out}
        started = await call("search", "study", **given, trials=options.trials, batch_size=1)
        study, status = started["study"], {"is_running": True}
        while status["is_running"]:
            await anyio.sleep(EVERY_S)
            keys = "state trials time_left_s best.times_faster best.quality_change"
            status = await call("status", keys, study=study)
        keys = "trial kind quantization latency_p95_ms latency_p95_ms_low latency_p95_ms_high "
        await call("frontier", f"{keys} quality_change times_faster", study=study)
        picked = f"{out}/picked"
        keys = "trial candidate times_faster quality_change model"
        await call("pick", keys, study=study, max_accuracy_drop=0.005, batch_size=1, out=picked)
        await call("verify", "verdict reason", bundle=picked)


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values and values[name]
    return float(f"{values:.4g}") if isinstance(values, float) else values


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--labels", help="an array's name in the samples, or a .npy file")
    parser.add_argument("--trials", type=int, default=12, help="budget of the search")
    parser.add_argument("--out", type=Path, default=Path("agent-study"), help="the study's folder")
    anyio.run(session, parser.parse_args())
