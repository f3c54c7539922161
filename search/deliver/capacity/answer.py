"""What was found about a model's capacity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from paretune.runners.measure.load.checked_capacity import CheckedCapacity
from paretune.runners.measure.load.queue_model import Batching
from paretune.runners.measure.statistic import Statistic
from paretune.search.deliver.capacity.question import CapacityQuestion
from paretune.search.deliver.capacity.serving_plan import ServingPlan


@dataclass(frozen=True)
class Way:
    """One way to serve a model, measured briefly: a row of the table.

    Attributes:
        instances: Sessions side by side.
        threads: Threads of each.
        batch_size: Requests in a call.
        latency_p50_ms: Median time of a call while all instances work.
        latency_p95_ms: The same for the p95.
        samples_per_s: Requests per second without pauses.
        capacity_per_s: The predicted highest rate that keeps the budget with calls of at most that
            size; 0 if none does.
        queue_delay_ms: The longest wait for more requests with which that was best.
    """

    instances: int
    threads: int
    batch_size: int
    latency_p50_ms: float
    latency_p95_ms: float
    samples_per_s: float
    capacity_per_s: float
    queue_delay_ms: float

    def is_smaller(self, other: Way) -> bool:
        """Tell whether it is the other one with batches of at most that size."""
        is_same = (self.instances, self.threads) == (other.instances, other.threads)
        return is_same and self.batch_size <= other.batch_size

    @property
    def words(self) -> str:
        """Instances, threads and batch in words."""
        return (
            f"{self.instances} {'instance' if self.instances == 1 else 'instances'} × "
            f"{self.threads} {'thread' if self.threads == 1 else 'threads'}, "
            f"batches of {'1' if self.batch_size == 1 else f'up to {self.batch_size}'}"
        )


@dataclass(frozen=True)
class LatencyUnder:
    """The latency under a pattern of arrivals, with one way to wait for each other.

    Attributes:
        arrivals: The pattern, in words.
        batching: How requests were answered.
        predicted_ms: The percentile of latency by the simulation.
        measured_ms: The same under real load, if that was served; ``None`` as well if more requests
            had no answer than the percentile allows.
    """

    arrivals: str
    batching: Batching
    predicted_ms: float
    measured_ms: Statistic | None


@dataclass(frozen=True)
class Load:
    """A rate, and the latency that it is predicted to have.

    Attributes:
        rate_per_s: The rate.
        mean_ms: Mean latency.
        percentile_ms: The percentile that was asked for.
    """

    rate_per_s: float
    mean_ms: float
    percentile_ms: float


@dataclass(frozen=True)
class Prediction:
    """A predicted capacity.

    A queue that grows slowly stays short in a load of a few seconds. So a served load, which is
    short, holds a higher rate than one without end, and each is predicted for itself.

    Attributes:
        per_s: The capacity in loads as short as the served ones, with its interval over launches.
        seconds: Seconds of such a load.
        endless_share: The capacity in a load without end ÷ that one; at most 1.
    """

    per_s: Statistic
    seconds: float
    endless_share: float


@dataclass(frozen=True)
class Capacity:
    """What was found about a model's capacity.

    Attributes:
        question: What was asked.
        ways: The ways to serve it that were tried.
        best: The way with the highest capacity.
        plan: How one replica serves it, and its capacity in a load without end: the measured one if
            load was served.
        predicted: The predicted capacity, and what a load without end costs.
        checked: The capacity that was measured in short loads, if load was served.
        curve: Predicted latency by rate, the lowest first.
        headroom: How many times the usual rate a burst of one second in ten may have until the
            percentile leaves the budget.
        usual_per_s: The usual rate of one replica that this is about.
        start_ms: From the start of a process to its first answer, over launches.
        under: Latency under bursts or a recorded trace, with and without batches.
        is_disturbed: Whether something else used the machine meanwhile.
    """

    question: CapacityQuestion
    ways: Sequence[Way]
    best: Way
    plan: ServingPlan
    predicted: Prediction
    checked: CheckedCapacity | None
    curve: Sequence[Load]
    headroom: float
    usual_per_s: float
    start_ms: Statistic
    under: Sequence[LatencyUnder]
    is_disturbed: bool

    def __repr__(self) -> str:
        """Return it as `paretune capacity` prints it, without the table of ways."""
        # The module that words it imports this one.
        from paretune.search.deliver.capacity.capacity_text import capacity_lines

        return "\n".join(capacity_lines(self))

    @property
    def best_latency(self) -> Way:
        """The way with the lowest p95 of a call."""
        return min(self.ways, key=lambda way: way.latency_p95_ms)

    @property
    def best_throughput(self) -> Way:
        """The way with the most requests per second."""
        return max(self.ways, key=lambda way: way.samples_per_s)

    @property
    def knee(self) -> Load:
        """The load beyond which latency costs more than rate brings.

        It maximizes rate ÷ mean latency, the power of a queue (L. Kleinrock, "Power and
        deterministic rules of thumb for probabilistic problems in computer communications", 1979).
        """
        return max(self.curve, key=lambda load: load.rate_per_s / load.mean_ms)

    @property
    def replicas(self) -> int:
        """Replicas for the usual rate; 1 if that is not known."""
        rate = self.question.rate_per_s
        return 1 if rate is None else self.plan.replicas(rate)

    @property
    def price_per_hour(self) -> float | None:
        """What all replicas cost per hour, if a price is known."""
        price = self.question.price_per_hour
        return None if price is None else price * self.replicas

    @property
    def price_per_million(self) -> float | None:
        """What a million requests cost at the usual rate, or else at the capacity."""
        if self.price_per_hour is None:
            return None
        rate = self.question.rate_per_s or self.plan.capacity_per_s.value
        return self.price_per_hour / (rate * 3600) * 1e6

    @property
    def waiting_for_start(self) -> float:
        """Requests that arrive at the usual rate of a replica while another one starts."""
        return self.usual_per_s * self.start_ms.value / 1e3

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        plan = {"instances": self.plan.instances, "threads": self.plan.threads}
        return {
            **{name: value for name, value in asdict(self.plan).items() if name not in plan},
            **plan,
            "predicted_per_s": asdict(self.predicted.per_s),
            "load_seconds": self.predicted.seconds,
            "endless_share": self.predicted.endless_share,
            "checked": self.checked and asdict(self.checked),
            "ways": [asdict(way) for way in self.ways],
            "best_latency": asdict(self.best_latency),
            "best_throughput": asdict(self.best_throughput),
            "knee": asdict(self.knee),
            "replicas": self.replicas,
            "price_per_hour": self.price_per_hour,
            "price_per_million": self.price_per_million,
            "usual_per_s": self.usual_per_s,
            "headroom": self.headroom,
            "start": asdict(self.start_ms),
            "waiting_for_start": self.waiting_for_start,
            "under": [asdict(each) for each in self.under],
            "is_disturbed": self.is_disturbed,
        }
