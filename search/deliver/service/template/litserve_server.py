"""The model behind LitServe: POST /predict, GET /health and GET /metadata.

Run it: python server.py [PORT]
"""

import multiprocessing
import signal
import sys

import figures
import litserve
from measured_model import METADATA, MeasuredModel


class Api(litserve.LitAPI):
    """One instance per worker process."""

    def setup(self, device):
        """Make the session."""
        self.model = MeasuredModel()

    def predict(self, x):
        """Answer one request."""
        return self.model.answer([x])[0]


class BatchingApi(Api):
    """An instance that answers several requests in one call."""

    def batch(self, inputs):
        """Keep the requests as they are: the model joins them."""
        return inputs

    def predict(self, x):
        """Answer a list of requests."""
        return self.model.answer(x)

    def unbatch(self, output):
        """Return the answers: one per request already."""
        return output


def end(*_):
    """End as on Ctrl-C; a worker, which has the handler of its parent, just ends."""
    raise SystemExit if multiprocessing.parent_process() else KeyboardInterrupt


if __name__ == "__main__":
    # LitServe ends its worker processes on Ctrl-C alone; `kill` and `docker stop` would leave them.
    signal.signal(signal.SIGTERM, end)
    kind = BatchingApi if figures.MAX_BATCH > 1 else Api
    api = kind(max_batch_size=figures.MAX_BATCH, batch_timeout=figures.QUEUE_DELAY_S)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=figures.INSTANCES, model_metadata=METADATA
    )
    server.app.add_api_route("/metadata", lambda: METADATA)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    print(f"answers on http://0.0.0.0:{port} once the model is loaded", flush=True)
    server.run(port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
