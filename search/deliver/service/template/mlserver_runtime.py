"""The model as a runtime of MLServer: the Open Inference Protocol, over HTTP and gRPC."""

from measured_model import METADATA, MeasuredModel
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class MeasuredRuntime(MLModel):
    """One instance per worker of MLServer, or one in its own process without workers."""

    async def load(self) -> bool:
        """Make the session."""
        self._model = MeasuredModel()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer a request, or several that MLServer has gathered into one."""
        feed = {each.name: NumpyCodec.decode_input(each) for each in payload.inputs}
        [outputs] = self._model.run([self._model.decode(feed)])
        return InferenceResponse(
            model_name=self.name,
            model_version=self.version,
            parameters={key: METADATA[key] for key in ("provider", "threads", "model_sha256")},
            outputs=[NumpyCodec.encode_output(name, value) for name, value in outputs.items()],
        )
