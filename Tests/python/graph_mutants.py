"""GraphDefs with something wrong in them, and a program that opens and runs them.

    python graph_mutants.py 1234                      makes mutant 1234, shows it and runs it
    python graph_mutants.py FOLDER FIRST STOP STEP    runs the mutants of these numbers, FOLDER/NUMBER.pb

The second writes a line "NUMBER OUTCOME" to the standard output for each, the number before it begins. It imports no
TensorFlow, so that libfne loads the library as it does for a user.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

import fne

SIZE = (16, 16)
# A mutant may take so much time, in seconds, and so much address space, of which TensorFlow's library alone takes some.
TIME_LIMIT = 20
MEMORY_LIMIT = 6 << 30

# ---- the graphs


def with_few_bytes(graph: Any) -> Any:
    """All weights of a constant become equal, so that nearly every byte of the graph is structure."""
    for node in graph.node:
        tensor = node.attr["value"].tensor if node.op == "Const" else None
        if tensor is not None and len(tensor.tensor_content) > 64 and tensor.dtype == 1:
            tensor.ClearField("tensor_content")
            tensor.float_val[:] = [0.0625]
    return graph


def maps(tf: Any) -> Any:
    """Operations on [n, height, width, channels]."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, None, None, 3], "input")
        y = tf.pad(x / 128, [[0, 0], [1, 1], [1, 1], [0, 0]], "REFLECT", name="mirror")
        y = tf.nn.relu(tf.nn.conv2d(y, np.ones((3, 3, 3, 4), np.float32), 1, "VALID", name="conv1"), "relu1")
        y = tf.nn.local_response_normalization(y, 2, name="lrn")
        branches = [
            tf.nn.max_pool2d(y, 3, 1, "SAME", name="maximum"),
            tf.nn.avg_pool2d(y, [2, 3], 1, "SAME", name="average"),
            tf.nn.max_pool_with_argmax(y, 2, 1, "SAME", name="argmax")[0],
            tf.nn.dilation2d(
                y, np.zeros((2, 2, 4), np.float32), [1, 1, 1, 1], "SAME", "NHWC", [1, 1, 1, 1], name="dilation"
            ),
        ]
        y = tf.concat(branches, 3, name="concat")
        y = tf.nn.space_to_depth(y, 2, name="to_depth")
        y = tf.nn.conv2d(y, np.ones((3, 3, 64, 8), np.float32), 1, [[0, 0], [1, 2], [0, 1], [0, 0]], name="conv2")
        y = tf.nn.leaky_relu(y, 0.1, "relu2")
        y = tf.space_to_batch_nd(y, [2, 2], [[1, 2], [0, 1]], name="to_batch")
        y = tf.nn.depthwise_conv2d(y, np.ones((2, 2, 8, 2), np.float32), [1, 1, 1, 1], "SAME", name="depthwise")
        y = tf.batch_to_space(y, [2, 2], [[1, 1], [0, 1]], name="from_batch")
        y = tf.nn.depth_to_space(tf.nn.elu(y, name="elu"), 2, name="from_depth")
        y = tf.raw_ops.ResizeBilinear(images=y, size=[8, 8], name="bilinear")
        y = tf.raw_ops.ResizeNearestNeighbor(images=tf.transpose(y, [0, 2, 1, 3]), size=[6, 10], name="nearest")
        y = tf.image.crop_and_resize(y, [[0, 0, 1, 1], [0.1, 0.9, 0.8, 0.2]], [0, 1], [6, 6], name="crop")
        y = tf.nn.conv2d_transpose(y, np.ones((3, 3, 5, 4), np.float32), [2, 12, 12, 5], 2, "SAME", name="conv3")
        y = tf.quantization.fake_quant_with_min_max_args(
            tf.nn.bias_add(y, np.ones(5, np.float32)), -6, 6, name="quantized"
        )
        y = tf.nn.relu6(
            tf.matmul(tf.reduce_mean(tf.clip_by_value(y, -1, 9), [1, 2]), np.ones((5, 6), np.float32), name="dense")
        )
        tf.nn.softmax(tf.matmul(y, np.ones((6, 5), np.float32), name="scores"), name="probabilities")
    return graph.as_graph_def()


def shapes(tf: Any) -> Any:
    """Computed shapes, indices, branches of both kinds and functions."""
    tf.compat.v1.disable_control_flow_v2()
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, *SIZE, 3], "input")
        n = tf.shape(x, name="shape")[0]
        y = tf.nn.relu(tf.nn.conv2d(x, np.ones((2, 2, 3, 4), np.float32), 2, "SAME", name="conv1"), "relu1")
        y = tf.reshape(y, tf.stack([n, -1, 4]), name="rows")
        left, middle, right = tf.split(tf.slice(y, [0, 1, 0], [-1, 60, 4]), [1, 2, 1], 2, name="split")
        y = tf.concat([tf.tile(left, [1, 1, 2]), tf.gather(middle, [1, 0, 1], axis=2), tf.cumsum(right, 1)], -1)
        y = tf.einsum("nij,jk->nik", y, np.ones((6, 4), np.float32), name="einsum")
        y = tf.cond(
            tf.reduce_any(tf.reduce_max(y) > 1), lambda: tf.nn.relu6(y), lambda: tf.reverse(y, [1]), name="branch"
        )
        scores, places = tf.nn.top_k(tf.transpose(y, [0, 2, 1]), 8, name="top")
        y = scores + tf.one_hot(tf.argmin(places, -1), 8) + tf.cast(tf.range(8), tf.float32)

        @tf.function(input_signature=[tf.TensorSpec([None, 4, 8])])
        def body(y: Any) -> Any:
            return tf.squeeze(tf.expand_dims(tf.strided_slice(y, [0, -1, 0], [2, -5, 9], [1, -1, 2], 1, 1), 1), 1)

        y = tf.where(tf.math.is_finite(y), tf.concat([body(y), body(-y)], 2), tf.fill([n, 4, 8], 2.0))
        tf.compat.v1.enable_control_flow_v2()
        y = tf.cond(n > 1, lambda: tf.square(y), lambda: tf.abs(y), name="choice")
        y = tf.stack(tf.unstack(y, axis=1), axis=2)
        y = tf.broadcast_to(y[:, None], [n, 2, 8, 4])
        y = tf.nn.relu(tf.nn.conv2d(y, np.ones((1, 1, 4, 6), np.float32), 1, "SAME", name="conv2"), "relu2")
        y = tf.matmul(tf.reshape(y, [n, 96]), np.ones((96, 5), np.float32), name="dense")
        tf.nn.softmax(y, name="probabilities")
    return graph.as_graph_def()


def lists(tf: Any) -> Any:
    """Lists of tensors of both kinds, random numbers, and what reads indices and boxes."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.float32, [None, *SIZE, 3], "input")
        y = tf.image.adjust_contrast(tf.image.adjust_hue(tf.image.hsv_to_rgb(tf.image.rgb_to_hsv(x / 255)), 0.1), 1.5)
        y = tf.nn.relu(tf.nn.conv2d(y, np.ones((3, 3, 3, 4), np.float32), 1, "SAME", name="conv1"), "relu1")
        y = tf.roll(tf.image.extract_patches(y, [1, 2, 2, 1], [1, 2, 2, 1], [1, 1, 1, 1], "VALID"), [1, -1], [1, 2])
        y = tf.floor(0.7 + tf.random.uniform(tf.shape(y))) * y + tf.random.stateless_normal([16], [1, 2])
        for kind in ("arrays", "lists"):
            if kind == "arrays":
                tf.compat.v1.disable_control_flow_v2()
            else:
                tf.compat.v1.enable_control_flow_v2()
            n = tf.shape(y)[0]
            part = tf.TensorArray(tf.float32, n + 1, clear_after_read=False, name=kind).write(n, y[0])
            y += part.read(n) / 2 + tf.reduce_sum(part.write(n - 1, y[0]).gather([n - 1])) / 100
            y = tf.TensorArray(tf.float32, n, name=kind + "_of_all").unstack(y).stack()
        y = tf.nn.relu(tf.nn.conv2d(y, np.ones((1, 1, 16, 8), np.float32), 1, "SAME", name="conv2"), "relu2")
        rows = tf.reduce_mean(y, [0, 1])
        rows = tf.dynamic_stitch([[0, 2, 4, 6], [1, 3, 5, 7]], [rows[:4], rows[4:]])
        parts = tf.dynamic_partition(rows, [0, 1, 1, 0, 0, 1, 1, 0], 2)
        sums = tf.math.segment_sum(rows, [0, 0, 1, 1, 2, 2, 3, 3]) + tf.math.unsorted_segment_min(
            rows, [3, 2, 1, 0] * 2, 4
        )
        sums += tf.sparse.segment_sum(parts[0], [0, 1, 2], [0, 1, 3], num_segments=4)
        sparse = tf.sparse.reorder(tf.SparseTensor([[1, 0], [0, 3]], [1.0, 2.0], [4, 4]))
        sums += tf.sparse.sparse_dense_matmul(sparse, sums) + tf.sparse.to_dense(sparse)[:, :1]
        sums += tf.sparse.to_dense(tf.sparse.fill_empty_rows(sparse, 0.5)[0])[:, 1:2]
        counts = tf.cast(tf.histogram_fixed_width(sums, [0.0, 9.0], 4), tf.float32) + tf.math.bincount(
            [1, 3], dtype=tf.float32
        )
        boxes = tf.nn.sigmoid(tf.reshape(rows[:4, :4], [4, 4])) * [0.5, 0.5, 1.0, 1.0]
        places = tf.raw_ops.NonMaxSuppressionV4(
            boxes=boxes, scores=counts, max_output_size=3, iou_threshold=0.5, score_threshold=0.0
        )[0]
        found = tf.image.combined_non_max_suppression(boxes[None, :, None], tf.reshape(sums[:, :2], [1, 4, 2]), 2, 3)
        overlaps = tf.raw_ops.NonMaxSuppressionWithOverlaps(
            overlaps=tf.eye(4), scores=counts, max_output_size=3, overlap_threshold=0.5, score_threshold=0.0
        )
        chosen = tf.unique(tf.concat([places, overlaps, tf.random.categorical(sums, 2, dtype=tf.int32)[0]], 0))
        y += tf.reduce_sum(found[0]) + tf.reduce_sum(tf.gather(counts, chosen[0] % 4))
        waves = tf.signal.ifft2d(tf.signal.fft2d(tf.cast(tf.transpose(y, [0, 3, 1, 2]), tf.complex64)))
        y = tf.transpose(tf.math.real(waves), [0, 2, 3, 1]) + tf.reduce_sum(tf.linalg.qr(tf.eye(3) + counts[:3])[0])
        frames = tf.tile([[[0.1, 0.1, 0.6, 0.7]]], [tf.shape(y)[0], 1, 1])
        y = tf.image.draw_bounding_boxes(y[..., :3], frames, [[1.0, 0.0, 0.0]])
        y = tf.raw_ops.ScaleAndTranslate(
            images=y, size=[9, 7], scale=[1.1, 0.9], translation=[0.0, 1.0], antialias=False
        )
        y = tf.raw_ops.ImageProjectiveTransformV3(
            images=y,
            transforms=[[1.0, 0.1, 0, 0, 1, 0, 0, 0]],
            output_shape=[8, 8],
            fill_value=0.0,
            interpolation="BILINEAR",
        )
        y = tf.tensor_scatter_nd_add(y, [[0, 1, 1, 1]], [5.0])
        y = tf.nn.conv2d(y, np.ones((1, 1, 3, 4), np.float32), 1, "SAME", name="conv3")
        tf.nn.softmax(
            tf.matmul(tf.reduce_mean(y, [1, 2]), np.ones((4, 5), np.float32), name="dense"), name="probabilities"
        )
    return graph.as_graph_def()


def types(tf: Any) -> Any:
    """Grey pixels of uint8, half precision and float64."""
    with tf.Graph().as_default() as graph:
        x = tf.compat.v1.placeholder(tf.uint8, [None, None, None, 1], "input")
        y = tf.cast(x, tf.float16) / 128
        y = tf.nn.conv2d(y, np.ones((3, 3, 1, 4), np.float16), 1, "SAME", name="conv1")
        y = tf.nn.relu(tf.nn.bias_add(y, np.ones(4, np.float16)), "relu1")
        y = tf.nn.local_response_normalization(y, 2, name="lrn")
        y = tf.nn.depthwise_conv2d(y, np.ones((2, 2, 4, 2), np.float16), [1, 1, 1, 1], "SAME", name="depthwise")
        y = tf.nn.relu6(tf.nn.max_pool2d(y, 2, 2, "SAME"), "relu2")
        z = tf.nn.relu(tf.cast(y, tf.bfloat16) * tf.ones(8, tf.bfloat16), "relu3")
        y = tf.cast(y, tf.float64) + tf.cast(z, tf.float64)
        y = tf.nn.relu(tf.nn.conv2d(y, np.ones((1, 1, 8, 6)), 1, "SAME", name="conv2"), "relu4")
        y = tf.nn.relu(tf.matmul(tf.reduce_mean(y, [1, 2]), np.ones((6, 6)), name="dense"), "relu5")
        tf.nn.softmax(tf.matmul(tf.cast(y, tf.float16), np.ones((6, 5), np.float16), name="scores"))
    return graph.as_graph_def()


# ---- mutations: each changes a graph in one place

NUMBERS = [-1, 0, 1, 2, 3, 7, 100, 65_536, 1 << 20, 1 << 30, (1 << 31) - 1, 1 << 31, 1 << 40, (1 << 63) - 1]
NUMBERS += [-2, -3, -(1 << 31), -(1 << 62), -(1 << 63)]
TEXTS = [
    b"SAME",
    b"VALID",
    b"EXPLICIT",
    b"NHWC",
    b"NCHW",
    b"NDHWC",
    b"NCHW_VECT_C",
    b"REFLECT",
    b"SYMMETRIC",
    b"",
    b"\xff",
]
DEVICES = ["/device:GPU:0", "/job:worker/task:1", "/cpu:7", "nonsense"]
INTERNAL = [
    "_class",
    "_output_shapes",
    "_XlaMustCompile",
    "_fused_ops",
    "_noinline",
    "_kernel",
    "_lower_using_switch_merge",
]
# What libfne does with each operation.
OPERATIONS = Path(__file__).parents[1] / "operations/tensorflow-2.21.tsv"
VERDICTS = {line.split("\t")[0]: line.split("\t")[2] for line in OPERATIONS.read_text().splitlines()}
FLOAT, INT32, INT64 = 1, 3, 9  # numbers of types


class Origins:
    """What mutants are made from: the graphs, and the operations that TensorFlow has and libfne allows."""

    def __init__(self) -> None:
        import tensorflow as tf
        from conftest import small_network
        from tensorflow.python.framework import op_def_registry

        self.tf = tf
        self.graphs = [
            with_few_bytes(graph) for graph in (small_network(*SIZE)[0], maps(tf), shapes(tf), lists(tf), types(tf))
        ]
        found = {operation: op_def_registry.get(operation) for operation in sorted(vars(tf.raw_ops))}
        self.definitions = {operation: definition for operation, definition in found.items() if definition}
        self.allowed = [
            operation for operation in self.definitions if VERDICTS.get(operation) in ("computes", "random")
        ]

    def mutant(self, number: int) -> bytes:
        mutant = Mutant(self, Random(number))
        if mutant.random.random() < 0.2:
            return mutant.damaged_bytes()
        for _ in range(mutant.random.choice([1, 1, 1, 2, 3])):
            mutant.mutate()
        return bytes(mutant.graph.SerializeToString(deterministic=True))


class Mutant:
    def __init__(self, origins: Origins, random: Random) -> None:
        self.origins = origins
        self.random = random
        self.graph = origins.tf.compat.v1.GraphDef()
        self.graph.CopyFrom(random.choice(origins.graphs))

    def mutate(self) -> None:
        """Changes a node of the graph or of a function."""
        functions = [function.node_def for function in self.graph.library.function if function.node_def]
        self.nodes = self.random.choice(functions) if functions and self.random.random() < 0.2 else self.graph.node
        self.place = self.random.randrange(len(self.nodes))
        self.node = self.nodes[self.place]
        kinds = [
            self.operation,
            self.insertion,
            self.insertion,
            self.inputs,
            self.attribute,
            self.constant,
            self.surroundings,
        ]
        self.random.choices(kinds, [2, 2, 2, 2, 4, 5, 1])[0]()

    def number(self) -> int:
        return self.random.choice([*NUMBERS, *range(-5, 6)])

    def other(self, type: int = 0) -> str:
        """A node's name; mostly of an earlier node, as others make cycles. With a type: of one that seems to have
        it."""
        nodes = self.nodes[: self.place] if self.random.random() < 0.95 else self.nodes
        fitting = [node for node in nodes if type in (0, node.attr["T"].type, node.attr["dtype"].type)]
        return self.random.choice(fitting or nodes or self.nodes).name

    def operation(self) -> None:
        """Another operation, now and then one that is not allowed."""
        origins = self.origins
        self.node.op = self.random.choice(origins.allowed if self.random.random() < 0.9 else list(origins.definitions))
        self.complete(self.node)

    def insertion(self) -> None:
        """A new operation between a node and what it reads."""
        if not self.node.input:
            return self.operation()
        place = self.random.randrange(len(self.node.input))
        new = self.nodes.add(name=f"new{len(self.nodes)}", op=self.random.choice(self.origins.allowed))
        new.input.append(self.node.input[place])
        self.complete(new)
        self.node.input[place] = new.name

    def complete(self, node: Any) -> None:
        """Gives a node the inputs and attributes that its operation has, of likely values: what TensorFlow refuses at
        once tests nothing."""
        definition = self.origins.definitions.get(node.op)
        if definition is None:
            return
        known = {attribute.name for attribute in definition.attr}
        for name in [name for name in node.attr if name not in known]:
            del node.attr[name]
        for attribute in definition.attr:
            if attribute.name not in node.attr and not (
                attribute.HasField("default_value") and self.random.random() < 0.8
            ):
                self.fill(attribute, node.attr[attribute.name])
        inputs = list(node.input)[:1]
        for argument in definition.input_arg:
            count = node.attr[argument.number_attr].i if argument.number_attr else 1
            for _ in range(min(count, 3)):
                type = argument.type or node.attr[argument.type_attr].type or FLOAT
                if len(inputs) <= len(node.input) and type == FLOAT and node.input:
                    inputs.append(self.random.choice([node.input[0], self.other(FLOAT)]))
                else:
                    inputs.append(self.other(type) if type == FLOAT else self.new_constant(type))
        del node.input[:]
        node.input.extend(inputs[1:] if len(inputs) > 1 else inputs)

    def fill(self, attribute: Any, value: Any) -> None:
        random = self.random
        allowed = attribute.allowed_values.list
        if attribute.type == "type":
            types = list(allowed.type) or [FLOAT, INT32, INT64]
            value.type = FLOAT if FLOAT in types and random.random() < 0.8 else random.choice(types)
        elif attribute.type == "int":
            value.i = random.choice([1, 2, 2, 3, self.number()])
        elif attribute.type == "float":
            value.f = random.choice([0.5, 1, -1])
        elif attribute.type == "bool":
            value.b = random.random() < 0.5
        elif attribute.type == "string":
            value.s = random.choice(list(allowed.s) or TEXTS)
        elif attribute.type == "list(int)":
            value.list.i[:] = random.choice(
                [[1, 1, 1, 1], [1, 2, 2, 1], [0, 1], [self.number()] * 4, [1, self.number(), 1, 1], []]
            )
        elif attribute.type == "list(type)":
            value.list.type[:] = [FLOAT] * random.choice([1, 2])
        elif attribute.type == "shape":
            for size in random.choice([[], [2, -1], [2, 3, 3, 4]]):
                value.shape.dim.add(size=size)
        else:
            value.CopyFrom(attribute.default_value)

    def new_constant(self, type: int) -> str:
        """A small constant of whole numbers."""
        shape = self.random.choice([[], [], [1], [2], [2], [3], [4], [2, 2], [4, 2], [1, 1, 1, 4]])
        values = np.array([self.random.choice([0, 1, 2, self.number()]) for _ in range(int(np.prod(shape)))])
        node = self.nodes.add(name=f"constant{len(self.nodes)}", op="Const")
        node.attr["dtype"].type = type
        try:
            content = self.origins.tf.make_tensor_proto(
                values.astype(self.origins.tf.as_dtype(type).as_numpy_dtype), shape=shape
            )
            node.attr["value"].tensor.CopyFrom(content)
        except (KeyError, TypeError, ValueError):  # no type of constants
            pass
        return str(node.name)

    def inputs(self) -> None:
        """Edges that are removed, doubled, swapped, led elsewhere or make a cycle."""
        node, random = self.node, self.random
        kind = random.randrange(7)
        if kind == 0 or not node.input:
            node.input.append(random.choice([self.other(), "^" + self.other(), "^" + node.name, node.name]))
            return
        place = random.randrange(len(node.input))
        if kind == 1:
            del node.input[place]
        elif kind == 2:
            node.input.append(node.input[place])
        elif kind == 3:
            node.input[:] = random.sample(list(node.input), len(node.input))
        elif kind == 4:
            node.input[place] += random.choice([":0", ":1", ":7", ":-1", ":4294967297", ":output:0", ":"])
        else:
            node.input[place] = self.other(random.choice([0, FLOAT, INT32]))

    def attribute(self) -> None:
        """An attribute's value, or that it is there at all."""
        node, random = self.node, self.random
        if not node.attr:
            return self.inputs()
        name = random.choice(sorted(node.attr))
        value = node.attr[name]
        kind = value.WhichOneof("value")
        if kind is None or random.random() < 0.05:
            del node.attr[name]
        elif kind == "i":
            value.i = self.number()
        elif kind == "f":
            value.f = random.choice([0, -1, 1e-45, 1e38, np.inf, np.nan])
        elif kind == "b":
            value.b = not value.b
        elif kind == "s":
            value.s = random.choice(TEXTS)
        elif kind == "type":
            value.type = random.choice([*range(24), 101, 1000])
        elif kind == "func":
            value.func.name = random.choice(
                [f.signature.name for f in self.graph.library.function] + ["nothing", node.op]
            )
        elif kind == "shape":
            self.dimensions(value.shape)
        elif kind == "tensor":
            self.dimensions(value.tensor.tensor_shape)
        elif kind == "list":
            numbers = value.list.i or value.list.type
            if not numbers or random.random() < 0.2:
                value.list.i[:] = random.choice([[], [1], [self.number()] * random.choice([1, 4, 5, 300])])
            else:
                place = random.randrange(len(numbers))
                numbers[place] = self.number() if value.list.i else random.randrange(1, 24)

    def dimensions(self, shape: Any) -> None:
        random = self.random
        size = random.choice([0, 1, 2, 3, 4, 5, 64, self.number()])
        kind = random.randrange(5)
        if kind == 0 or not shape.dim:
            shape.dim.add(size=size)
        elif kind == 1:
            del shape.dim[random.randrange(len(shape.dim))]
        elif kind == 2:
            shape.unknown_rank = True
        else:
            shape.dim[random.randrange(len(shape.dim))].size = size

    def constant(self) -> None:
        """What a constant holds, as axes, paddings, sizes and the like; also its rank and length."""
        random = self.random
        constants = [node for node in self.nodes if node.op == "Const"]
        whole = [node for node in constants if node.attr["dtype"].type in (INT32, INT64)]
        if not constants:
            return self.attribute()
        tensor = random.choice(whole if whole and random.random() < 0.85 else constants).attr["value"].tensor
        try:
            values = np.array(self.origins.tf.make_ndarray(tensor))
        except (TypeError, ValueError):  # changed before
            return
        if values.size > 64 or not values.size:
            return self.dimensions(tensor.tensor_shape)
        kind = random.randrange(10)
        if kind > 2 and values.dtype.kind in "if":
            number = self.number()
            if values.dtype.kind == "i":
                number = int(np.clip(number, np.iinfo(values.dtype).min, np.iinfo(values.dtype).max))
            values.reshape(-1)[random.randrange(values.size)] = number
        elif kind == 0:
            values = values.reshape(random.choice([[-1], [1, *values.shape], [*values.shape, 1]]))
        elif kind == 1:
            values = values.reshape(-1)[: random.randrange(values.size + 1)]
        else:
            values = random.choice(
                [values.reshape(-1)[0], np.concatenate([values.reshape(-1)] * random.choice([2, 3, 70]))]
            )
        tensor.CopyFrom(self.origins.tf.make_tensor_proto(values))

    def surroundings(self) -> None:
        """Names, devices, internal attributes, versions, and a function's signature."""
        node, random, functions = self.node, self.random, self.graph.library.function
        kind = random.randrange(9)
        if kind == 0:
            node.name = random.choice(
                ["input", "", "a/b", node.name + "/" + node.name, "fne/input", "_SOURCE", "x" * 5000]
            )
        elif kind == 1:
            node.device = random.choice(DEVICES)
        elif kind == 2:
            self.graph.versions.producer = random.choice([0, 1, 11, 21, 25, 1 << 30])
        elif kind == 3:
            del self.nodes[self.place]
        elif kind == 4:
            self.nodes.add().CopyFrom(node)
        elif kind == 5 or not functions:
            value = node.attr[random.choice(INTERNAL)]
            if random.random() < 0.5:
                value.list.s[:] = [b"loc:@" + self.other().encode()]
            else:
                attributes = random.choice(self.nodes).attr
                value.CopyFrom(random.choice([value, *(attributes[name] for name in sorted(attributes))]))
        elif kind == 6:
            signature = random.choice(functions).signature
            for arguments in (signature.input_arg, signature.output_arg):
                for argument in arguments:
                    argument.type = random.choice([argument.type, 0, FLOAT, INT32])
        elif kind == 7:
            results = random.choice(functions).ret
            for result in sorted(results):
                results[result] = random.choice(random.choice(functions).node_def).name + ":output:0"
        else:  # which may make a function call itself
            random.choice(random.choice(functions).node_def).op = random.choice(functions).signature.name

    def damaged_bytes(self) -> bytes:
        """Bytes that are changed, inserted, deleted or cut off."""
        random = self.random
        data = bytearray(self.graph.SerializeToString(deterministic=True))
        for _ in range(random.choice([1, 1, 2, 5])):
            start = random.randrange(len(data))
            stop = start + random.choice([1, 1, 2, 8, 100])
            kind = random.randrange(8)
            if kind < 3:
                data[start] ^= 1 << random.randrange(8)
            elif kind == 3:
                data[start] = random.choice([0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)])
            elif kind == 4:
                data[start:start] = random.randbytes(stop - start)
            elif kind == 5:
                data[start:start] = data[start:stop]
            elif kind == 6:
                del data[start:stop]
            elif random.random() < 0.3:
                del data[start + 1 :]
        return bytes(data)


# ---- what runs them


def outcome(graph: bytes, *, say: bool = False) -> str:
    """ "result" or the name of the error. Any other exception is raised."""
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    result = ""
    try:
        model = fne.Model(graph)
        for layers, precision in ((None, "float32"), ("all", "bfloat16")):
            try:
                with fne.Extractor(model, layers=layers, size=SIZE, engine_threads=2, precision=precision) as extractor:
                    extractor.extract(np.ascontiguousarray(images[..., : extractor.channels]))
                result = result or "result"
            except (fne.FNEError, ValueError) as error:
                result = result or type(error).__name__
                if say:
                    print(f"{layers}: {type(error).__name__}: {error}")
    except fne.FNEError as error:
        result = type(error).__name__
        if say:
            print(f"{type(error).__name__}: {error}")
    return result


CHILDREN = 2


def outcomes(folder: Path, first: int, stop: int, step: int) -> dict[int, str]:
    """Runs every step-th graph of a folder from `first` on in a child process; after a graph that ends the process,
    the next one in a new one. What ends the process is a "death"."""
    found: dict[int, str] = {}
    while first < stop:
        program = [sys.executable, __file__, folder, first, stop, step]
        with open(folder / f"log-{first}", "w") as log:
            # The child limits its address space, of which malloc takes much for each of many processors.
            environment = dict(os.environ, MALLOC_ARENA_MAX="2")
            command = [str(part) for part in program]
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment)
        lines = [line.split() for line in result.stdout.splitlines()]
        found.update({int(number): outcome for number, outcome in (line for line in lines if len(line) == 2)})
        if result.returncode == 0:
            break
        last = int(lines[-1][0]) if lines else first
        said = (folder / f"log-{first}").read_text(errors="replace").strip().splitlines()
        reason = [text for text in said if "Check failed" in text] or said
        found[last] = f"death {result.returncode}: {reason[-1] if reason else ''}"
        first = last + step
    return found


def run(folder: Path, numbers: range) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for number in numbers:
        graph = (folder / f"{number}.pb").read_bytes()
        print(number, end=" ", flush=True)
        signal.alarm(TIME_LIMIT)  # ends the process, also where it is stuck in C
        print(outcome(graph), flush=True)


if __name__ == "__main__":
    if len(sys.argv) == 2:
        data = Origins().mutant(int(sys.argv[1]))
        print(outcome(data, say=True))
    else:
        run(Path(sys.argv[1]), range(*map(int, sys.argv[2:])))
