"""A scikit-learn classifier with text classes: the first output is a string tensor, the second the probabilities."""

import numpy as np
import onnx
from skl2onnx import to_onnx
from sklearn.neural_network import MLPClassifier

r = np.random.default_rng(0)
x = r.standard_normal((300, 8)).astype(np.float32)
y = np.array(["cat", "dog", "owl"])[x[:, :3].argmax(1)]
m = MLPClassifier(32, max_iter=300, random_state=0).fit(x, y)
onnx.save(to_onnx(m, x[:1], options={"zipmap": False}), "model.onnx")
np.savez("samples.npz", X=x, y=y)
