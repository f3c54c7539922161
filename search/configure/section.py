"""The types that the sections of a study file use."""

from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StrictInt
from pydantic_core import PydanticCustomError

from paretune.spaces.registry import Named, Registry

Positive = Annotated[StrictInt, Field(ge=1)]
Ratio = Annotated[float, Field(strict=True, ge=0.0, lt=1.0)]
Duration = Annotated[float, Field(strict=True, gt=0.0, le=1e6)]
Limit = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the study file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Record = TypeVar("Record", bound=Named)


def known_name(name: str, registry: Registry[Record]) -> str:
    """Return a name that a registry knows.

    Raises:
        PydanticCustomError: If it does not: of the type ``enum``, as for a value of a closed list.
    """
    if name not in registry:
        expected = ", ".join(f"'{each}'" for each in registry.names)
        raise PydanticCustomError("enum", "Input should be {expected}", {"expected": expected})
    return name
