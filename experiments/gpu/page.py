"""The page of check.sh: the card's name and the result of every step, from the files of a run.

python page.py FOLDER
"""

import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST_LINES = 60
MOST_POINTS = 10
MOST_SCHEMES = 18


def main(folder: Path) -> None:
    """Print at most sixty lines."""
    lines = [line for part in PARTS for line in part(folder)]
    if len(lines) > MOST_LINES:
        lines = [*lines[: MOST_LINES - 1], f"… {len(lines) - MOST_LINES + 1} more lines: see logs"]
    print("\n".join(lines))


def machine(folder: Path) -> Iterator[str]:
    """The card and the versions."""
    found = read(folder / "machine.json") or {}
    packages = found.get("packages", {})
    card = (found.get("card") or "no card here").splitlines()[0]
    yield f"# Paretune on {card}"
    yield ""
    runtimes = found.get("onnxruntime") or {}
    torch = found.get("torch") or {}
    yield (
        f"Python {found.get('python')}, torch {torch.get('version')} (CUDA {torch.get('cuda')}), "
        f"ONNX Runtime {runtimes.get('version')} ({', '.join(runtimes.get('providers', []))})"
    )
    missing = [name for name in ("tensorrt", "torchao", "triton") if packages.get(name) is None]
    yield f"missing: {', '.join(missing) or 'nothing'}"
    yield ""


def steps(folder: Path) -> Iterator[str]:
    """How each step ended."""
    file = folder / "steps.tsv"
    if not file.is_file():
        return
    rows = [line.split("\t") for line in file.read_text("utf-8").splitlines()]
    last = {name: f"{words(code)} ({seconds} s)" for name, code, seconds in rows}
    yield "steps: " + ", ".join(f"{name} {end}" for name, end in last.items())
    yield ""


def words(code: str) -> str:
    """Return an exit code in words."""
    return {"0": "ok", "124": "OUT OF TIME", "137": "OUT OF TIME"}.get(code, f"exit {code}")


def contract(folder: Path) -> Iterator[str]:
    """Passed, failed and skipped tests by suite, with the names of the failed."""
    codes: dict[str, int] = read(folder / "contract.json") or {}
    suites: dict[str, list[str]] = {}
    for part in codes:
        suites.setdefault(re.sub(r"-\d$", "", part), []).append(part)
    if suites:
        yield "## Contract suites"
    for name, parts in suites.items():
        late_parts = [part for part in parts if codes[part] not in (0, 1)]
        cases = []
        for part in parts:
            found = cases_of(folder / f"contract-{part}.xml")
            # The last test of an interrupted part did not end; the file does not tell.
            cases += found[:-1] if part in late_parts else found
        bad = [c for c in cases if c.find("failure") is not None or c.find("error") is not None]
        skipped = [c for c in cases if c.find("skipped") is not None]
        passed = len(cases) - len(bad) - len(skipped)
        late = "; NOT FINISHED in time" if late_parts else ""
        yield f"{name}: {passed} passed, {len(bad)} failed, {len(skipped)} skipped{late}"
        yield from (f"  FAILED {case.get('name')}" for case in bad[:4])
        reasons = {(c.find("skipped").get("message") or "")[:110] for c in skipped}  # type: ignore[union-attr]
        yield from (f"  skipped: {reason}" for reason in sorted(reasons)[:2])
    if suites:
        yield ""


def cases_of(file: Path) -> list[ElementTree.Element]:
    """Return the test cases of a JUnit file; none if it was not written."""
    try:
        return list(ElementTree.parse(file).getroot().iter("testcase"))
    except (OSError, ElementTree.ParseError):
        return []


def agreement(folder: Path) -> Iterator[str]:
    """The ratio of each combination."""
    found = read(folder / "agreement.json")
    if found is None:
        return
    yield f"## Runner's p50 ÷ plain loop's (allowed: within {found['tolerance']:.0%})"
    if found["missing"]:
        yield f"no card here for {', '.join(found['missing'])}"
    for row in found["rows"]:
        line = f"{row['target']} batch {row['batch_size']}: {between(row['wall'])}"
        yield line
        if row["device_by_events"]:
            clock = row["device_by_clock"]["ratio"]
            events = between(row["device_by_events"])
            yield f"  without copies, by CUDA events: {events}; by the clock {clock:.3f}"
    yield ""


def between(ratio: dict[str, Any]) -> str:
    """Return times and their ratio with its interval."""
    ends = "" if ratio["low"] is None else f" [{ratio['low']:.3f}, {ratio['high']:.3f}]"
    return f"{ratio['runner_ms']:.4f} ÷ {ratio['loop_ms']:.4f} ms = {ratio['ratio']:.3f}{ends}"


def study(folder: Path) -> Iterator[str]:
    """The frontier, over processor and card."""
    rows = read(folder / "frontier.json")
    if not rows:
        return
    yield f"## Frontier of {rows[0]['study']}: {len(rows)} rows ({rows[-1]['kind']})"
    for row in rows[:MOST_POINTS]:
        yield (
            f"{row['trial']:>3} {row['student']:<9} {row['quantization']:<11} batch "
            f"{row['batch_size']:<2} {row['execution_provider']:<34} on {row['device']:<6} "
            f"{row['intra_op_threads']} thr: quality {row['quality']:.4f}, p95 "
            f"{row['latency_p95_ms']:.4f} ms, {row['throughput_samples_per_s']:.0f}/s"
        )
    if len(rows) > MOST_POINTS:
        yield f"… {len(rows) - MOST_POINTS} more in study.log"
    yield ""


def promises(folder: Path) -> Iterator[str]:
    """Each pick and what the plain loop found."""
    rows = read(folder / "promises.json")
    if rows is None:
        return
    yield "## Picks in a plain loop"
    for row in rows:
        if "failure" in row:
            yield f"budget {row['budget_ms']:.4f} ms: {row['failure'].splitlines()[0][:120]}"
            continue
        yield (
            f"budget {row['budget_ms']:.4f} ms: trial {row['trial']} on {row['device']}, plain p95 "
            f"{row['plain_p95_ms']:.4f} ms, quality {row['plain_quality']:.4f} for "
            f"{row['promised_quality']:.4f}: {'kept' if row['kept'] else 'BROKEN'}"
        )
    yield ""


def schemes(folder: Path) -> Iterator[str]:
    """Milliseconds, speed against fp32 and energy at each batch size."""
    rows = read(folder / "schemes.json")
    if rows is None:
        return
    groups: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["model"], row["target"], row["scheme"]), []).append(row)
    sizes = "/".join(str(row["batch_size"]) for row in next(iter(groups.values())))
    yield f"## Against fp32, batch {sizes}: p50 ms | without copies | × fp32 | mJ per sample"
    for (model, target, scheme), group in list(groups.items())[:MOST_SCHEMES]:
        cells = [
            "/".join(cell(row.get(key), digits) for row in group)
            for key, digits in (
                ("p50_ms", 3),
                ("device_p50_ms", 3),
                ("times_fp32", 2),
                ("mj_per_sample", 2),
            )
        ]
        why = {row["failure"].splitlines()[0][:60] for row in group if "failure" in row}
        line = f"{model:<9} {target.split('/')[1]:<21} {scheme:<11} {' | '.join(cells)}"
        yield line + (f" ({'; '.join(sorted(why))})" if why else "")


def cell(value: float | None, digits: int) -> str:
    """Return a number, or a dash if there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def read(file: Path) -> Any:
    """Return a file's content, or None if the step did not write it."""
    try:
        return json.loads(file.read_text("utf-8"))
    except (OSError, ValueError):
        return None


PARTS = (machine, steps, contract, agreement, study, promises, schemes)

if __name__ == "__main__":
    main(Path(sys.argv[1]))
