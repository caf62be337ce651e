"""The documented algorithm of the original TensorFlow function, run by TensorFlow's own Python: what libfne is compared
with. OpenCV reads and resizes, Session.run fetches every activation map, NumPy averages, standardizes, discretizes."""

from __future__ import annotations

import cv2
import numpy as np
import tensorflow as tf


def load_graph(path):
    graph_def = tf.compat.v1.GraphDef()
    with open(path, "rb") as file:
        graph_def.ParseFromString(file.read())
    return graph_def


class Network:
    """A session that is kept, so that a warm run can be timed."""

    def __init__(self, graph_def, input_tensor, target_tensors, height, width):
        self.height, self.width = height, width
        self.graph = tf.Graph()
        with self.graph.as_default():
            tf.import_graph_def(graph_def, name="import")
        self.session = tf.compat.v1.Session(graph=self.graph)
        self.input = "import/" + input_tensor
        self.targets = ["import/" + name for name in target_tensors]

    def read(self, path):
        image = cv2.imread(str(path))
        image = cv2.resize(image, (self.width, self.height))  # OpenCV takes (width, height)
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.float32)

    def pooled(self, paths, batch_size, prepare=None):
        """float64 [N, F]. prepare, if given, maps a batch of RGB 0-255 to what the network needs."""
        rows = []
        for start in range(0, len(paths), batch_size):
            batch = np.stack([self.read(path) for path in paths[start : start + batch_size]])
            if prepare is not None:
                batch = prepare(batch)
            activations = self.session.run(self.targets, {self.input: batch})
            rows.append(np.concatenate([self.average(value) for value in activations], axis=1))
        return np.concatenate(rows).astype(np.float64)

    @staticmethod
    def average(value):
        return value.mean(axis=2).mean(axis=1) if value.ndim == 4 else value


def embed(pooled, stats=None, lower=-0.25, upper=0.15):
    """Features of -1, 0, 1 as float64 [N, F], and statistics float64 [2, F]."""
    if stats is None:
        stats = np.stack([pooled.mean(axis=0), pooled.std(axis=0)])
    mean, std = stats
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(std == 0, 0, (pooled - mean) / std)
    features = np.zeros_like(z)
    features[z > upper] = 1
    features[z < lower] = -1
    return features, stats
