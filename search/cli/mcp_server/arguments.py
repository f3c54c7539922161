"""The types of the tools' arguments: each with its meaning, unit and range, which clients see."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from paretune.runners.metric import Percentile
from paretune.search.record.wish import Preference

StudyFile = Annotated[
    Path, Field(description="The study file, such as study.yaml; relative to the server's folder.")
]
SearchedStudy = Annotated[Path | None, Field(description="The study file; or give `onnx`.")]
Model = Annotated[Path, Field(description="An ONNX file (or .pt2 with runtime pytorch).")]
Models = Annotated[list[Path], Field(min_length=2, description="The reference, then the others.")]
BatchSizes = Annotated[
    list[Annotated[int, Field(ge=1)]],
    Field(min_length=1, description="Samples in one call; each size is measured by itself."),
]
BatchSize = Annotated[int, Field(ge=1, description="Samples in one call.")]
Threads = Annotated[int, Field(ge=1, description="Threads per operator.")]
Runtime = Annotated[str, Field(description="onnxruntime, openvino or pytorch.")]
Provider = Annotated[
    str | None,
    Field(description="Execution provider, such as CUDAExecutionProvider; the CPU by default."),
]
Inputs = Annotated[
    Path | None,
    Field(description="Samples: .npz, one array per model input. Random ones by default."),
]
Dimensions = Annotated[
    dict[str, Annotated[int, Field(ge=1)]] | None,
    Field(description='Sizes of free dimensions other than the batch, such as {"sequence": 128}.'),
]
Constants = Annotated[
    dict[str, Any] | None,
    Field(description='Inputs that are the same in every call, such as {"sr": 16000}.'),
]
Careful = Annotated[
    bool,
    Field(description="Add launches until intervals are tight; false is quick, as a search does."),
]
RawSamples = Annotated[
    bool, Field(description="Also return the time of every call, in `launches`: long lists.")
]
Launches = Annotated[int, Field(ge=2, description="Fresh processes per comparison.")]
OnnxFile = Annotated[
    Path | None, Field(description="Instead of `study`: the ONNX file to make fast; needs `data`.")
]
Data = Annotated[
    Path | None,
    Field(description="With `onnx`: samples, an .npz with one array per model input."),
]
Labels = Annotated[
    str | None,
    Field(
        description="With `onnx`: labels, an array's name in `data` or a .npy file. Without them, "
        "quality is how close the outputs stay to the original's."
    ),
]
QualityMetric = Annotated[
    str | None, Field(description="With `onnx`: accuracy, f1, mse, cosine …, or FILE.py:NAME.")
]
StudyFolder = Annotated[
    Path | None, Field(description="With `onnx`: where to write the study; MODEL-study by default.")
]
Trials = Annotated[
    int | None, Field(ge=1, description="Trials in the whole study, the baseline included.")
]
Hours = Annotated[float | None, Field(gt=0, description="Wall-clock hours of this search.")]
MaxLatency = Annotated[float | None, Field(gt=0, description="Latency budget per call, in ms.")]
WishedPercentile = Annotated[
    Percentile | None, Field(description="Latency percentile of the budget; p95 by default.")
]
MaxDrop = Annotated[
    float | None,
    Field(ge=0, description="Most loss of quality against the baseline: 0.01 is one point."),
]
MinQuality = Annotated[float | None, Field(description="Least quality, in its own unit.")]
WishedBatch = Annotated[int | None, Field(ge=1, description="Only points with this batch size.")]
Runner = Annotated[str | None, Field(description="Only points on this runner.")]
Limits = Annotated[
    dict[str, float] | None,
    Field(description='Limits on any metric of the frontier, such as {"peak_memory_bytes": 2e8}.'),
]
Preferred = Annotated[
    Preference | None,
    Field(
        description="What to optimize. By default latency if only quality is limited, else "
        "accuracy (which is the study's quality, whatever its metric)."
    ),
]
Remeasure = Annotated[
    bool, Field(description="Measure the point again, and take the next if it breaks a limit.")
]
OutFolder = Annotated[
    Path | None, Field(description="Folder for the bundle: model file, manifest.json, card.")
]
Searched = Annotated[
    bool, Field(description="The search's own frontier, by unconfirmed values, which flatter.")
]
Bundle = Annotated[Path, Field(description="The folder that `pick` wrote.")]
