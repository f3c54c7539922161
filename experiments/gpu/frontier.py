"""The published frontier of a gpu study, each point with its device, as a table and as JSON.

python frontier.py STUDY.yaml OUT.json
"""

import json
import sys
from pathlib import Path

from paretune.search.review.frontier_rows import frontier_rows
from paretune.search.study.open_study import OpenStudy
from paretune.search.study.parts import study_runner

SHOWN = ("latency_p50_ms", "latency_p95_ms", "throughput_samples_per_s")


def main(study: Path, out: Path) -> int:
    """Write the rows; return 1 if nothing was published."""
    opened = OpenStudy(study)
    history = opened.history()
    rows = []
    for row in frontier_rows(history):
        run = row.candidate.run
        rows.append(
            {
                "study": study.stem,
                "trial": row.number,
                "kind": row.kind,
                "device": study_runner(opened, run.runner).device(run),
                **row.candidate.params,
                "quality": row.metrics[history.quality_metric],
                **{name: row.metrics[name] for name in SHOWN},
            }
        )
    out.write_text(json.dumps(rows, indent=1), "utf-8")
    for each in rows:
        print({name: each[name] for name in ("trial", "device", "execution_provider", *SHOWN)})
    return 0 if history.published else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
