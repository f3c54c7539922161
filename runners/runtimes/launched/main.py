"""A launch from its job file to its result file."""

import json
import os
import traceback
from pathlib import Path
from typing import Any

from . import counters, jobs
from .card import order_cards_by_bus
from .refusal import RefusedError, is_device_lost, is_out_of_memory, lost


def main(job_path: Path) -> None:
    """Do one job and write ``result.json`` next to it: the result, or a failure."""
    job = json.loads(job_path.read_text("utf-8"))
    counters.die_with_parent(job["parent"])
    # ONNX Runtime would report every session to Microsoft, from a thread next to the timed one.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    order_cards_by_bus()
    result: dict[str, Any]
    try:
        counters.pin(job["cores"])
        counters.limit_memory(job["memory_limit_bytes"])
        result = jobs.run(job | {"folder": str(job_path.parent)})
    except RefusedError as error:
        result = {"failure": {"kind": error.kind, "message": str(error)}}
    except Exception as error:
        traceback.print_exc()
        kind, message = "crash", f"{type(error).__name__}: {error}"
        if is_out_of_memory(error):
            kind, message = "out_of_memory", f"out of memory ({message})"
        elif is_device_lost(error):
            message = lost(message)
        result = {"failure": {"kind": kind, "message": message}}
    aside = job_path.with_name("result.part")
    aside.write_text(json.dumps(result), "utf-8")
    aside.replace(job_path.with_name("result.json"))
