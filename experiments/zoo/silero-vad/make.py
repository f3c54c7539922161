"""The models of the silero-vad wheel, on a stream of sounds with the states that belong to it."""

from importlib.util import find_spec
from pathlib import Path
from shutil import copyfile

import numpy as np
import onnxruntime

data = Path(find_spec("silero_vad").submodule_search_locations[0]) / "data"
files = {
    "whole": "silero_vad",
    "half": "silero_vad_half",
    "opset15": "silero_vad_16k_op15",
    "ifless": "silero_vad_op18_ifless",
    "fixed": "silero_vad_openvino_16k",
    "sequence": "silero_vad_16k_sequence",
}
for name, file in files.items():
    copyfile(data / f"{file}.onnx", f"{name}.onnx")

FRAMES, CONTEXT, STEP = 240, 64, 512
rng = np.random.default_rng(0)
time = np.arange(FRAMES * STEP) / 16000
pitch = np.cumsum(120 + 60 * np.sin(2 * np.pi * 0.7 * time)) / 16000
voice = sum(np.sin(2 * np.pi * k * pitch) / k for k in range(1, 20))
loud = (np.sin(2 * np.pi * 1.1 * time) > 0) * (0.6 + 0.4 * np.sin(2 * np.pi * 5 * time))
audio = (0.1 * voice * loud + 0.01 * rng.standard_normal(len(time))).astype(np.float32)
padded = np.concatenate([np.zeros(CONTEXT, np.float32), audio])
frames = np.stack([padded[i * STEP : i * STEP + CONTEXT + STEP] for i in range(FRAMES)])

session = onnxruntime.InferenceSession("whole.onnx", providers=["CPUExecutionProvider"])
states = [np.zeros((2, 1, 128), np.float32)]
for frame in frames:
    feed = {"input": frame[None], "state": states[-1], "sr": np.array(16000)}
    states.append(session.run(None, feed)[1])
np.savez("samples.npz", input=frames, state=np.concatenate(states[:-1], axis=1))
np.savez(
    "sequence.npz",
    input=frames,
    h=np.zeros((1, 1, 128), np.float32),
    c=np.zeros((1, 1, 128), np.float32),
)
