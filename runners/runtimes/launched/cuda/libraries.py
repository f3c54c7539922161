"""The libraries of CUDA that ONNX Runtime's providers need: found, loaded, or named as missing."""

import contextlib
import ctypes
import io
import re
import sys
from pathlib import Path
from typing import Any

PROVIDER_LIBRARIES = {
    "CUDAExecutionProvider": "libonnxruntime_providers_cuda.so",
    "TensorrtExecutionProvider": "libonnxruntime_providers_tensorrt.so",
}
"""The libraries of the providers that run on NVIDIA's cards, in the runtime's own folder."""

# Abs of one number, as an ONNX file of IR version 7 and opset 13.
_TINY_MODEL = (
    b'\x08\x07:2\n\x0b\n\x01x\x12\x01y"\x03Abs\x12\x01gZ\x0f\n\x01x\x12\n\n\x08\x08\x01\x12\x04\n'
    b"\x02\x08\x01b\x0f\n\x01y\x12\n\n\x08\x08\x01\x12\x04\n\x02\x08\x01B\x02\x10\r"
)
# In the order in which they need each other.
_CUDA = ("cublasLt", "cublas", "nvrtc", "curand", "cufft", "cudart", "cudnn")
_TENSORRT = ("nvinfer", "nvinfer_plugin", "nvonnxparser")
_OF_NO_TOOLKIT = {"curand": "10", "cudnn": "9", "nvinfer": "10", "nvinfer_plugin": "10"} | {
    "nvonnxparser": "10"
}
_FATAL_ONLY = 4
"""ONNX Runtime's log level for fatal errors."""


def cuda_major(ort: Any) -> str:
    """Return the major version of CUDA that an ONNX Runtime was built with, such as ``"13"``."""
    return str(getattr(ort, "cuda_version", "") or "12").split(".")[0]


def preload(ort: Any) -> None:
    """Load CUDA's libraries from the wheels on the path, so that providers find them.

    The wheels (``nvidia-*``, torch, tensorrt) put them into folders that the loader does not
    search. ``onnxruntime.preload_dlls`` looks beside onnxruntime only, not in the other folders of
    the path; what nobody finds is left to the loader, which searches the system.
    """
    major = cuda_major(ort)
    folders = _folders()
    for name in (*_CUDA, *_TENSORRT):
        toolkit = ("12" if int(major) >= 13 else "11") if name == "cufft" else major
        file = f"lib{name}.so.{_OF_NO_TOOLKIT.get(name, toolkit)}"
        found = next((folder / file for folder in folders if (folder / file).is_file()), None)
        if found is not None:
            with contextlib.suppress(OSError):  # `why_not` says what is missing
                ctypes.CDLL(str(found))
    if hasattr(ort, "preload_dlls"):
        with contextlib.redirect_stdout(io.StringIO()):
            ort.preload_dlls()


def why_not(ort: Any, provider: str) -> str:
    """Return why a provider for NVIDIA's cards does not work here and what helps, or nothing.

    It makes a session for a tiny model: a provider that is compiled in is not yet one that runs.
    """
    preload(ort)
    options = ort.SessionOptions()
    options.log_severity_level = _FATAL_ONLY  # we say it in our words
    providers = ["CUDAExecutionProvider"]
    try:
        # An engine of TensorRT takes seconds, even for this: its libraries are tried below.
        session = ort.InferenceSession(_TINY_MODEL, options, providers, enable_fallback=0)
        runs = session.get_providers()[0] == "CUDAExecutionProvider"
        said = ""
    except Exception as error:
        runs, said = False, str(error).strip()
    if runs and provider == "CUDAExecutionProvider":
        return ""
    missing = unloadable(ort, provider if runs else "CUDAExecutionProvider")
    if runs and not missing:
        return ""
    return missing or said or "it did not say why; its log may, see child.log"


def unloadable(ort: Any, provider: str) -> str:
    """Return which library keeps a provider from loading and what brings it, or nothing.

    Call it after a session was tried: that loads what the provider's library itself needs of ONNX
    Runtime.
    """
    library = Path(ort.__file__).parent / "capi" / PROVIDER_LIBRARIES[provider]
    if not library.is_file():
        return ""
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        return _with_fix(str(error), cuda_major(ort))
    return ""


def versions(ort: Any) -> dict[str, str]:
    """Return the versions of CUDA's libraries, as far as they are loaded."""
    major = cuda_major(ort)
    found = {"cuda": str(getattr(ort, "cuda_version", "unknown"))}
    for name, file, function in (
        ("cudnn", "libcudnn.so.9", "cudnnGetVersion"),
        ("cublas", f"libcublasLt.so.{major}", "cublasLtGetVersion"),
    ):
        with contextlib.suppress(OSError, AttributeError):
            call = getattr(ctypes.CDLL(file), function)
            call.restype = ctypes.c_size_t
            found[name] = str(call())
    return found


def _folders() -> list[Path]:
    """Return the folders on the path where wheels put libraries."""
    found: list[Path] = []
    for root in dict.fromkeys(Path(entry) for entry in sys.path if entry):
        found += sorted(root.glob("nvidia/*/lib"))
        found += [root / "torch" / "lib", root / "tensorrt_libs"]
    return [folder for folder in found if folder.is_dir()]


def _with_fix(error: str, major: str) -> str:
    found = re.match(r"(lib[^:]+): cannot open shared object file", error)
    if found is None:
        return error
    library = found[1]
    if library.startswith("libcuda."):
        return f"{library} is missing: it comes with the driver of an NVIDIA card"
    if library.startswith(("libnvinfer", "libnvonnxparser")):
        return f"{library} is missing: run `pip install 'tensorrt-cu{major}>=10,<11'`"
    return f"{library} is missing: run `pip install 'onnxruntime-gpu[cuda,cudnn]'`"
