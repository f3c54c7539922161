"""An analytic stand-in for a study of an ONNX file: nothing is trained, quality is a cosine."""

import math

import numpy as np

from paretune.search.record.objective import default_objectives
from paretune.spaces import Candidate, Forbid, SearchSpace, whole_layers

QUALITY = "cosine"
OBJECTIVES = default_objectives(QUALITY)
SPACE = SearchSpace.from_values(
    {
        "student": ["reference"],
        "pruning_ratio": [0.0],
        "quantization": [
            "fp32",
            "fp16",
            "int8-static",
            "int8-dynamic",
            "int8-weight",
            "int4-weight",
        ],
        "fp32_layer_share": [0.0, 0.1, 0.25, 0.5],
        "batch_size": [1, 2, 4, 8, 16, 32],
        "execution_provider": ["CPUExecutionProvider", "openvino/CPU"],
        "intra_op_threads": [1, 2, 4],
        "graph_optimization": ["basic", "extended", "all"],
    },
    [
        whole_layers,
        Forbid(
            {"execution_provider": "openvino/CPU", "graph_optimization": ["basic", "extended"]},
            "only ONNX Runtime has levels of graph optimization",
        ),
    ],
)


class FileProblem:
    """2,592 candidates on six axes, with constants drawn from a seed.

    Some schemes do not help on some runtimes; layers left in fp32 regain most of the lost quality
    and cost their share of the speed; latencies include a call's overhead and noise of 2 %.
    """

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng([7, seed])
        self.work_ms = rng.uniform(5.0, 100.0)
        # Share of the work of fp32, by runner.
        self.share = {
            runner: {
                "fp32": 1.0 if runner == "onnxruntime" else rng.uniform(0.6, 1.2),
                "fp16": rng.uniform(0.9, 1.3),
                "int8-static": rng.uniform(0.25, 0.7),
                "int8-dynamic": rng.uniform(0.5, 1.4),
                "int8-weight": rng.uniform(0.9, 1.1),
                "int4-weight": rng.uniform(0.8, 1.2),
            }
            for runner in ("onnxruntime", "openvino")
        }
        self.loss = {  # of the cosine
            "fp32": 0.0,
            "fp16": rng.uniform(0.0, 1e-4),
            "int8-static": rng.uniform(0.005, 0.08),
            "int8-dynamic": rng.uniform(0.002, 0.03),
            "int8-weight": rng.uniform(0.0005, 0.005),
            "int4-weight": rng.uniform(0.01, 0.1),
        }
        self.sensitive = rng.uniform(5.0, 20.0)
        self.slower = {"basic": rng.uniform(1.05, 1.5), "extended": rng.uniform(1.0, 1.1), "all": 1}
        self.batching = rng.uniform(0.85, 0.97)
        self.threading = rng.uniform(0.5, 0.9)
        self.waking_ms = rng.uniform(0.02, 0.3)
        self.overhead_ms = {"onnxruntime": rng.uniform(0.02, 0.2), "openvino": rng.uniform(0.1, 1)}
        self._noise = seed

    def metrics(self, candidate: Candidate) -> dict[str, float]:
        """Return a candidate's cosine, p95 latency and throughput."""
        build, run = candidate.build, candidate.run
        kept = build.fp32_layer_share
        shares = self.share[run.runner]
        share = kept * shares["fp32"] + (1 - kept) * shares[build.quantization.value]
        work = self.work_ms * share * self.slower[run.graph_optimization.value]
        latency_ms = work * run.batch_size**self.batching / run.intra_op_threads**self.threading
        latency_ms += self.waking_ms * (run.intra_op_threads - 1) + self.overhead_ms[run.runner]
        digits = int(candidate.digest[:8], 16)
        latency_ms *= math.exp(np.random.default_rng([self._noise, digits]).normal(0, 0.02))
        return {
            QUALITY: 1.0 - self.loss[build.quantization.value] * math.exp(-self.sensitive * kept),
            "latency_p95_ms": latency_ms,
            "throughput_samples_per_s": 1e3 * run.batch_size / latency_ms,
        }
