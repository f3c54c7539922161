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
    text = f"{type(error).__name__}: {error}".lower()
    signs = ("bad_alloc", "memoryerror", "outofmemory", "out of memory", "allocate", "enomem")
    return isinstance(error, MemoryError) or any(sign in text for sign in signs)


def refuse(doing: str, error: BaseException, kind: str = "unsupported") -> RefusedError:
    """Return a refusal in the runtime's own words.

    Args:
        doing: The action that failed, such as ``"ONNX Runtime cannot load the model"``.
        error: The runtime's exception.
        kind: The failure's kind, unless memory ran out.
    """
    return RefusedError(
        "out_of_memory" if is_out_of_memory(error) else kind,
        f"{doing}: {str(error) or type(error).__name__}",
    )
