"""The model in ONNX Runtime, with the provider, options and threads of the measurement."""

import figures
import onnxruntime


def load():
    """Return a function from inputs to outputs, by name.

    Raises:
        RuntimeError: If ONNX Runtime cannot run the model on the measured provider here.
    """
    if hasattr(onnxruntime, "preload_dlls"):  # CUDA's libraries of Python packages, if any
        onnxruntime.preload_dlls()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = figures.THREADS
    options.inter_op_num_threads = 1
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel(figures.GRAPH_LEVEL)
    options.log_severity_level = 3  # errors
    session = onnxruntime.InferenceSession(
        str(figures.MODEL), options, providers=figures.PROVIDERS, enable_fallback=0
    )
    session.disable_fallback()
    wanted, found = figures.PROVIDERS[0][0], session.get_providers()[0]
    if found != wanted:
        raise RuntimeError(f"the model was measured on {wanted}, but runs on {found} here")
    names = [*figures.OUTPUTS]

    def call(feed):
        return dict(zip(names, session.run(names, feed), strict=True))

    return call
