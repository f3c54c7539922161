"""The model behind LitServe: POST /predict, GET /health and GET /metadata.

Run it: python server.py [PORT]
"""

import sys

import figures
import litserve
from measured_model import METADATA, MeasuredModel


class Api(litserve.LitAPI):
    """One instance per worker process."""

    def setup(self, device):
        """Make the session."""
        self.model = MeasuredModel()

    def batch(self, inputs):
        """Keep the requests as they are: the model joins them."""
        return inputs

    def predict(self, x):
        """Answer one request, or a list of them if LitServe batches."""
        return self.model.answer(x) if isinstance(x, list) else self.model.answer([x])[0]

    def unbatch(self, output):
        """Return the answers: one per request already."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=figures.MAX_BATCH, batch_timeout=figures.QUEUE_DELAY_S)
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=figures.INSTANCES, model_metadata=METADATA
    )
    server.app.add_api_route("/metadata", lambda: METADATA)
    port = int(sys.argv[1]) if len(sys.argv) > 1 else 8000
    server.run(port=port, num_api_servers=1, log_level="warning", generate_client_file=False)
