"""The model behind BentoML: POST /predict, GET /healthz and GET /metadata.

Run it: bentoml serve server:Service --port 8000
"""

import bentoml
import fastapi
import figures
from measured_model import METADATA, MeasuredModel

app = fastapi.FastAPI()


@bentoml.service(workers=figures.INSTANCES, resources={"cpu": figures.THREADS})
class Model:
    """One instance per worker process. BentoML gathers requests for it."""

    def __init__(self):
        self.model = MeasuredModel()

    # BentoML has no queue delay: it learns how long to wait, within a latency budget.
    @bentoml.api(
        batchable=figures.MAX_BATCH > 1,
        max_batch_size=figures.MAX_BATCH,
        max_latency_ms=figures.BUDGET_MS,
    )
    def answer(self, requests: list[dict]) -> list[dict]:
        """Answer requests in one call."""
        return self.model.answer(requests)


@bentoml.service(workers=1)
@bentoml.asgi_app(app)
class Service:
    """What clients see."""

    model = bentoml.depends(Model)

    @bentoml.api(route="/predict")
    async def predict(self, inputs: dict) -> dict:
        """Answer a request."""
        return (await self.model.to_async.answer([{"inputs": inputs}]))[0]

    @app.get("/metadata")
    def metadata(self) -> dict:
        """Tell what runs."""
        return METADATA
