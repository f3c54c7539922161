"""The model in OpenVINO, with the device, options and threads of the measurement."""

import figures
import openvino


def load():
    """Return a function from inputs to outputs, by name. It is compiled for one batch size.

    Raises:
        RuntimeError: If OpenVINO cannot compile the model for the measured device here.
    """
    core = openvino.Core()
    device, options = figures.PROVIDERS[0]
    model = core.read_model(str(figures.MODEL))
    shapes = {}
    for port in model.inputs:
        name = next(name for name in port.get_names() if name in figures.INPUTS)
        axis, shape = figures.INPUTS[name][1], port.get_partial_shape()
        if figures.FIXED_BATCH and axis is not None and shape[axis].is_dynamic:
            shape[axis] = figures.FIXED_BATCH
            shapes[name] = shape
    if shapes:
        model.reshape(shapes)
    compiled = core.compile_model(model, device, options)
    ran_on = ",".join(compiled.get_property("EXECUTION_DEVICES"))
    if ran_on.removeprefix("OCL_") not in (device, f"{device}.0"):
        raise RuntimeError(f"the model was measured on {device}, but runs on {ran_on} here")
    request = compiled.create_infer_request()

    def call(feed):
        results = request.infer(feed)
        return {
            name: results[port]
            for port in compiled.outputs
            for name in port.get_names()
            if name in figures.OUTPUTS
        }

    return call
