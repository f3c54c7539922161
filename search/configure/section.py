"""The types that the sections of a study file use."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt

Positive = Annotated[StrictInt, Field(ge=1)]
Ratio = Annotated[float, Field(strict=True, ge=0.0, lt=1.0)]
Duration = Annotated[float, Field(strict=True, gt=0.0, le=1e6)]
Limit = Annotated[float, Field(strict=True, allow_inf_nan=False)]


class Section(BaseModel):
    """A part of the study file: unknown keys are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True)
