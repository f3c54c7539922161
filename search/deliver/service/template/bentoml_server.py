"""The model behind BentoML: POST /predict, GET /healthz and GET /metadata.

Run it: bentoml serve server:Service --port 8000
"""

import bentoml
import figures
from measured_model import METADATA, MeasuredModel
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

about = Starlette(routes=[Route("/metadata", lambda request: JSONResponse(METADATA))])


QUIET = {"access": {"enabled": False}}  # no line per request


@bentoml.service(workers=figures.INSTANCES, resources={"cpu": figures.THREADS}, logging=QUIET)
class Model:
    """One instance per worker process. BentoML gathers requests for it."""

    def __init__(self):
        self.model = MeasuredModel()

    # BentoML has no queue delay: it learns how long to wait.
    @bentoml.api(
        batchable=figures.MAX_BATCH > 1,
        max_batch_size=figures.MAX_BATCH,
        max_latency_ms=figures.REFUSE_AFTER_MS,
    )
    def answer(self, requests: list[dict]) -> list[dict]:
        """Answer requests in one call."""
        return self.model.answer(requests)


@bentoml.service(workers=1, logging=QUIET)
@bentoml.asgi_app(about)
class Service:
    """What clients see."""

    model = bentoml.depends(Model)

    @bentoml.api(route="/predict")
    async def predict(self, inputs: dict) -> dict:
        """Answer a request."""
        return (await self.model.to_async.answer([{"inputs": inputs}]))[0]
