"""The section of the study file about the point that will be picked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

from paretune.runners.metric import Percentile
from paretune.search.configure.section import Duration, Limit, Positive, Section
from paretune.search.record.wish import Wish
from paretune.spaces import ConfigError

_Drop = Annotated[float, Field(strict=True, ge=0.0, allow_inf_nan=False)]


class WishConfig(Section):
    """What you want to pick: it steers the search, forbids nothing, and may change every night."""

    max_latency_ms: Duration | None = Field(None, description="latency budget per call")
    percentile: Percentile = Field("p95", description="latency percentile of the budget")
    max_accuracy_drop: _Drop | None = Field(
        None,
        description="maximum loss of accuracy (or other quality) against the baseline; default "
        "without a limit on quality: a tenth of the baseline's",
    )
    min_accuracy: Limit | None = Field(None, description="minimum accuracy (or other quality)")
    batch_size: Positive | None = Field(None, description="the batch size that will be used")

    def to_wish(self, batch_sizes: Sequence[int], told: Mapping[str, Any]) -> Wish:
        """Return the wish that steers a search.

        Args:
            batch_sizes: The batch sizes of the space.
            told: Values for this search alone, by attribute of :class:`Wish`; they override
                the file.

        Raises:
            ConfigError: If the batch size is not one of the space.
        """
        written = Wish(
            self.max_latency_ms,
            self.percentile,
            self.max_accuracy_drop,
            self.min_accuracy,
            self.batch_size,
        )
        wish = replace(written, **told)
        if wish.batch_size is not None and wish.batch_size not in batch_sizes:
            raise ConfigError(
                f"the wish's batch size must be one of the space's, {list(batch_sizes)}; got "
                f"{wish.batch_size}; choose one of these, or add it to `space: batch_size`"
            )
        return wish
