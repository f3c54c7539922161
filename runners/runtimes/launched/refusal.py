"""A refusal: a runtime cannot do something, and says why; the parent makes it a failure."""


class RefusedError(Exception):
    """The runtime cannot do this, and says why.

    Attributes:
        kind: The failure's kind, such as ``"unsupported"``.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether a runtime's error means that memory ran out."""
    signs = (
        *("bad_alloc", "memoryerror", "outofmemory", "out of memory", "allocate", "enomem"),
        *("memoryallocation", "alloc_failed"),  # of CUDA, and of cuBLAS and cuDNN
    )
    return isinstance(error, MemoryError) or any(sign in _text(error) for sign in signs)


def is_device_lost(error: BaseException) -> bool:
    """Tell whether a runtime's error means that its device stopped working."""
    signs = (
        *("device lost", "device_lost", "fallen off the bus", "deviceuninitialized"),
        *("illegal memory access", "unspecified launch failure", "uncorrectable ecc"),
    )
    return any(sign in _text(error) for sign in signs)


def refuse(doing: str, error: BaseException, kind: str = "unsupported") -> RefusedError:
    """Return a refusal in the runtime's own words.

    Args:
        doing: The action that failed, such as ``"ONNX Runtime cannot load the model"``.
        error: The runtime's exception.
        kind: The failure's kind, unless memory ran out.
    """
    message = f"{doing}: {str(error) or type(error).__name__}"
    if is_device_lost(error):
        return RefusedError("crash", lost(message))
    return RefusedError("out_of_memory" if is_out_of_memory(error) else kind, message)


def lost(message: str) -> str:
    """Return what to tell of a lost device, given the runtime's words."""
    return (
        f"the device was lost. {message}. If other models run there, this model is to blame; else "
        "see `nvidia-smi` and the kernel's log (`dmesg | grep Xid`), and start again once the "
        "device works"
    )


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".lower()
