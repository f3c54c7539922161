"""The model behind Ray Serve: POST /predict, GET /health and GET /metadata.

Run it: serve run server:app, or python server.py [PORT] [HOST]
"""

import asyncio
import sys

import fastapi
import figures
from measured_model import METADATA, MeasuredModel
from ray import serve

http = fastapi.FastAPI()


@serve.deployment(
    num_replicas=figures.INSTANCES,
    ray_actor_options={"num_cpus": figures.THREADS},
    # Two batches: one that runs, and one that waits. More wait at the proxy, for any instance.
    max_ongoing_requests=2 * figures.MAX_BATCH,
)
@serve.ingress(http)
class Service:
    """One instance per replica."""

    def __init__(self):
        self.model = MeasuredModel()

    @serve.batch(max_batch_size=figures.MAX_BATCH, batch_wait_timeout_s=figures.QUEUE_DELAY_S)
    async def answer(self, requests):
        """Answer requests in one call, outside the event loop."""
        return await asyncio.to_thread(self.model.answer, requests)

    @http.post("/predict")
    async def predict(self, request: dict):
        """Answer a request."""
        return await self.answer(request)

    @http.get("/health")
    def health(self):
        """Tell that it runs."""
        return {"status": "ok"}

    @http.get("/metadata")
    def metadata(self):
        """Tell what runs."""
        return METADATA


app = Service.bind()

if __name__ == "__main__":
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    serve.start(
        http_options={"host": sys.argv[2] if len(sys.argv) > 2 else "127.0.0.1", "port": port}
    )
    serve.run(app, blocking=True)
