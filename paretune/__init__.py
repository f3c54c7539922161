"""Paretune: the best fast versions of a trained model, measured on the hardware you own.

>>> from paretune import Study
>>> study = Study("study.yaml")                     # doctest: +SKIP
>>> study.run(trials=50)                            # doctest: +SKIP
>>> study.published                                 # doctest: +SKIP
>>> study.pick(max_latency_ms=5).save("picked")     # doctest: +SKIP

Names are imported when they are first used: ``import paretune`` costs nothing. The rooms lie at the
top of the repository, and this folder has links to them: so an import, an editable install, a
wheel, mypy and an editor all see one tree, and nothing has to be generated.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paretune.runners.runtimes.devices import devices
    from paretune.runners.workload.adapters.lightning_training import fit_with_lightning
    from paretune.runners.workload.adapters.models import (
        from_timm,
        from_torchvision,
        from_transformers,
    )
    from paretune.runners.workload.data import Batch, Data, Dataset, Split
    from paretune.runners.workload.datasets.generated import Generated
    from paretune.runners.workload.datasets.hugging_face import HuggingFaceData
    from paretune.runners.workload.datasets.image_folder import ImageFolder
    from paretune.runners.workload.datasets.torch_data import TorchData
    from paretune.runners.workload.learning.loader import torch_loader
    from paretune.runners.workload.learning.progress import Epoch, report_epoch
    from paretune.runners.workload.metrics.metric import QualityMetric
    from paretune.runners.workload.onnx_workload import OnnxWorkload
    from paretune.runners.workload.protocol import Workload
    from paretune.runners.workload.recipe import Recipe
    from paretune.runners.workload.students.scaled import scaled
    from paretune.runners.workload.students.student import inheriting, pretrained
    from paretune.search.propose.frontier_sampler import FrontierSampler
    from paretune.search.study.api import (
        confirm,
        doctor,
        frontier,
        onnx_study,
        pick,
        report,
        run,
        status,
        sync,
        verify,
    )
    from paretune.search.study.models import compare, measure
    from paretune.search.study.serving.capacity import capacity
    from paretune.search.study.serving.service import export, verify_service
    from paretune.search.study.study import Study
    from paretune.spaces.errors import ParetuneError

_DATA = "paretune.runners.workload.data"
_DATASETS = "paretune.runners.workload.datasets"
_API = "paretune.search.study.api"
_MODELS = "paretune.search.study.models"
_HOMES = {
    "Batch": _DATA,
    "Data": _DATA,
    "Dataset": _DATA,
    "Epoch": "paretune.runners.workload.learning.progress",
    "FrontierSampler": "paretune.search.propose.frontier_sampler",
    "Generated": f"{_DATASETS}.generated",
    "HuggingFaceData": f"{_DATASETS}.hugging_face",
    "ImageFolder": f"{_DATASETS}.image_folder",
    "OnnxWorkload": "paretune.runners.workload.onnx_workload",
    "ParetuneError": "paretune.spaces.errors",
    "QualityMetric": "paretune.runners.workload.metrics.metric",
    "Recipe": "paretune.runners.workload.recipe",
    "Split": _DATA,
    "Study": "paretune.search.study.study",
    "TorchData": f"{_DATASETS}.torch_data",
    "Workload": "paretune.runners.workload.protocol",
    "capacity": "paretune.search.study.serving.capacity",
    "compare": _MODELS,
    "confirm": _API,
    "devices": "paretune.runners.runtimes.devices",
    "doctor": _API,
    "export": "paretune.search.study.serving.service",
    "fit_with_lightning": "paretune.runners.workload.adapters.lightning_training",
    "from_timm": "paretune.runners.workload.adapters.models",
    "from_torchvision": "paretune.runners.workload.adapters.models",
    "from_transformers": "paretune.runners.workload.adapters.models",
    "frontier": _API,
    "inheriting": "paretune.runners.workload.students.student",
    "measure": _MODELS,
    "onnx_study": _API,
    "pick": _API,
    "pretrained": "paretune.runners.workload.students.student",
    "report": _API,
    "report_epoch": "paretune.runners.workload.learning.progress",
    "run": _API,
    "scaled": "paretune.runners.workload.students.scaled",
    "status": _API,
    "sync": _API,
    "torch_loader": "paretune.runners.workload.learning.loader",
    "verify": _API,
    "verify_service": "paretune.search.study.serving.service",
}

__all__ = [
    "Batch",
    "Data",
    "Dataset",
    "Epoch",
    "FrontierSampler",
    "Generated",
    "HuggingFaceData",
    "ImageFolder",
    "OnnxWorkload",
    "ParetuneError",
    "QualityMetric",
    "Recipe",
    "Split",
    "Study",
    "TorchData",
    "Workload",
    "capacity",
    "compare",
    "confirm",
    "devices",
    "doctor",
    "export",
    "fit_with_lightning",
    "from_timm",
    "from_torchvision",
    "from_transformers",
    "frontier",
    "inheriting",
    "measure",
    "onnx_study",
    "pick",
    "pretrained",
    "report",
    "report_epoch",
    "run",
    "scaled",
    "status",
    "sync",
    "torch_loader",
    "verify",
    "verify_service",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'paretune' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return __all__
