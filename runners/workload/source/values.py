"""Values that the user's code gives, such as a model's constructor, as plain data."""

from __future__ import annotations

import functools
import hashlib
import inspect
from collections.abc import Collection, Mapping
from pathlib import PurePath
from types import FunctionType, MethodType, ModuleType
from typing import Any

from paretune.runners.workload.source.closure import Closure

_PLAIN = (bool, int, float, complex, bytes, type(None), type(Ellipsis), range)
_DEEPEST = 60
"""Values in each other that are looked into; a module in a module is three. Chosen by judgement."""


class Values:
    """Describes values so that equal ones give equal data in every process.

    Code that a value leads to goes into the closure; what has no stable description (a lock, a
    logger) is described by its type alone.

    Args:
        closure: Collects the code.
        workload: The workload, which constructors may refer to.
        folder: Its folder: paths below it are described relative to it.
    """

    def __init__(self, closure: Closure, workload: object, folder: PurePath) -> None:
        self._closure = closure
        self._workload = workload
        self._folder = folder
        self._open: list[int] = []

    def plain(self, value: Any) -> Any:
        """Return a value as nested lists and texts."""
        if value is self._workload:
            return "the workload"
        if isinstance(value, str | PurePath):
            text = str(value)
            self._closure.texts.add(text)
            return ["text", text.replace(str(self._folder), "")]
        if isinstance(value, _PLAIN):
            return repr(value)
        if id(value) in self._open:
            return ["circle", len(self._open) - self._open.index(id(value))]
        if len(self._open) >= _DEEPEST:
            return ["deep", type(value).__qualname__]
        self._open.append(id(value))
        try:
            return self._of(value)
        except Exception:  # of code that is asked for its attributes, and may do anything
            return ["unknown", type(value).__qualname__]
        finally:
            self._open.pop()

    def _of(self, value: Any) -> Any:
        if isinstance(value, functools.partial):
            return ["partial", *map(self.plain, (value.func, value.args, value.keywords))]
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            if value.__self__ is self._workload:
                self._closure.member(value.__name__)
                return ["method of the workload", value.__name__]
            return ["method", self.plain(value.__self__), self.plain(value.__func__)]
        if isinstance(value, type):
            return self._named(value)
        if isinstance(value, ModuleType):
            self._closure.use(value.__name__)
            return ["module", value.__name__]
        if isinstance(value, Mapping):
            pairs = [[self.plain(key), self.plain(each)] for key, each in value.items()]
            return ["mapping", *sorted(pairs, key=repr)]
        if isinstance(value, list | tuple):
            return [type(value).__name__, *map(self.plain, value)]
        if isinstance(value, set | frozenset):
            return ["set", *sorted(map(self.plain, value), key=repr)]
        if hasattr(value, "__array__") and hasattr(value, "dtype"):
            return _array(value)
        wrapped = getattr(value, "__wrapped__", None)
        if wrapped is not None:
            return ["wrapped", type(value).__qualname__, self.plain(wrapped)]
        if inspect.isroutine(value):
            return self._named(value)
        return self._object(value)

    def _named(self, value: Any) -> list[str]:
        """Describe what has a module and a name: the closure holds its code."""
        name = getattr(value, "__qualname__", type(value).__qualname__)
        module = getattr(value, "__module__", None) or "builtins"
        self._closure.use(f"{module}.{name.partition('.')[0]}")
        return ["named", module, name]

    def _function(self, function: FunctionType) -> Any:
        """Describe a function by its code, or by its name if a module has it by that."""
        cells = dict(zip(function.__code__.co_freevars, function.__closure__ or (), strict=True))
        free = {}
        for name, cell in cells.items():
            try:
                free[name] = cell.cell_contents
            except ValueError:  # it is not bound yet
                continue
        defaults = function.__defaults__, function.__kwdefaults__
        rest = [self.plain(free), *map(self.plain, defaults)]
        module = self._closure.modules.get(function.__module__ or "")
        is_inner = "<" in function.__qualname__ or "." in function.__qualname__
        if module is None or not is_inner:
            return [*self._named(function), *rest]
        owner = next((name for name, each in free.items() if each is self._workload), None)
        nodes = module.functions(function.__code__)
        for node in nodes:
            self._closure.code(module, function.__name__, node, owner)
        if not nodes:
            return [*self._named(function), *rest]
        return ["function", *rest]

    def _object(self, value: Any) -> Any:
        """Describe an object by its class and its attributes."""
        described = ["object", self._named(type(value))]
        if attributes := getattr(value, "__dict__", None):
            return [*described, self.plain(dict(attributes))]
        text = repr(value)
        return described if " at 0x" in text else [*described, text]


def _array(value: Any) -> list[str]:
    """Describe an array or a tensor by its content."""
    import numpy as np

    if callable(detach := getattr(value, "detach", None)):
        value = detach().cpu()
        if str(value.dtype) == "torch.bfloat16":  # numpy has no such type
            value = value.float()
    array = np.ascontiguousarray(np.asarray(value))
    found = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
    return ["array", array.dtype.str, str(array.shape), hashlib.sha256(found).hexdigest()]


def scalars(value: object, names: Collection[str]) -> dict[str, str]:
    """Return those attributes of an object that are numbers or texts."""
    found = {name: vars(value).get(name) for name in sorted(names) if name in vars(value)}
    return {name: repr(each) for name, each in found.items() if isinstance(each, (str, *_PLAIN))}
