"""Small ONNX networks with random weights, and the features that Python's onnxruntime and NumPy find for them."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HEIGHT, WIDTH = 32, 40
CLASSES, CHANNELS, HEADS = 5, 12, 3


class Network:
    """A graph that grows node by node. `taps` holds its layers in order, each with the axes of its value."""

    def __init__(self, opset=17, image=("n", 3, HEIGHT, WIDTH), kind=TensorProto.FLOAT, seed=1):
        self.opset = opset
        self.real = np.float16 if kind == TensorProto.FLOAT16 else np.float32
        self.random = np.random.default_rng(seed)
        self.nodes, self.constants, self.taps = [], [], []
        self.input = helper.make_tensor_value_info("image", kind, image)

    def constant(self, value, name=None):
        name = name or f"constant{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def real_constant(self, value):
        return self.constant(np.asarray(value, self.real))

    def integers(self, *values):
        return self.constant(np.array(values, np.int64))

    def weights(self, *shape, name=None, fan=None):
        values = self.random.normal(0, 1 / np.sqrt(fan or np.prod(shape[1:])), shape)
        return self.constant(values.astype(self.real), name)

    def node(self, operation, *inputs, name=None, count=1, **attributes):
        """Adds a node. Returns its output's name, or the names of several."""
        name = name or f"node{len(self.nodes)}"
        outputs = [f"{name}_{operation}{place or ''}" for place in range(count)]
        self.nodes.append(helper.make_node(operation, inputs, outputs, name=name, **attributes))
        return outputs[0] if count == 1 else outputs

    def tap(self, value, axes):
        self.taps.append((value, axes))
        return value

    # ---- layers

    def convolution(self, x, read, channels, size=3, stride=1, groups=1, bias=True, name=None):
        weights = self.weights(channels, read // groups, size, size, name=name and f"{name}.weight")
        inputs = [x, weights] + ([self.weights(channels)] if bias else [])
        sides = [size // 2 if stride == 1 else 0] * 4
        return self.node("Conv", *inputs, strides=[stride] * 2, pads=sides, group=groups, kernel_shape=[size] * 2)

    def normalized(self, x, channels):
        values = [self.random.uniform(0.5, 1.5, channels).astype(self.real) for _ in range(4)]
        return self.node("BatchNormalization", x, *map(self.constant, values))

    def clip(self, x, low, high):
        if self.opset < 11:
            return self.node("Clip", x, min=float(low), max=float(high))
        return self.node("Clip", x, self.real_constant(low), self.real_constant(high))

    def split(self, x, axis, count):
        if self.opset < 18:
            return self.node("Split", x, axis=axis, count=count)
        return self.node("Split", x, axis=axis, num_outputs=count, count=count)

    def gemm(self, x, read, features):
        return self.node("Gemm", x, self.weights(features, read), self.weights(features), transB=1)

    def dense(self, x, read, features):
        """A product and a bias, as exporters write it for values of three axes and more."""
        product = self.node("MatMul", x, self.weights(read, features, fan=read))
        return self.node("Add", self.weights(features, fan=4), product)

    def shape_of(self, x, *rest):
        """The number of images, and then further sizes."""
        images = self.node("Gather", self.node("Shape", x), self.integers(0))
        return self.node("Concat", images, self.integers(*rest), axis=0)

    def gelu(self, x):
        half = self.node("Mul", x, self.real_constant(0.5))
        erf = self.node("Erf", self.node("Div", x, self.real_constant(np.sqrt(2))))
        return self.node("Mul", half, self.node("Add", erf, self.real_constant(1)))

    def layer_norm(self, x):
        return self.node("LayerNormalization", x, self.weights(CHANNELS, fan=4), self.weights(CHANNELS, fan=4))

    def attention(self, x, shape, order, back):
        """Query, key and value of a dense layer's output, split into heads [n, heads, tokens, C / heads]."""
        parts = [self.node("Reshape", part, self.integers(*shape)) for part in self.split(x, 2, 3)]
        query, key, value = (self.node("Transpose", part, perm=order) for part in parts)
        scores = self.node("MatMul", query, self.node("Transpose", key, perm=[0, 1, 3, 2]))
        mixed = self.node("MatMul", self.node("Softmax", scores, axis=3), value)
        return self.node("Transpose", mixed, perm=back)

    # ---- the model

    def model(self, output, rank=2):
        """The model with a value as its output."""
        kind = TensorProto.FLOAT16 if self.real == np.float16 else TensorProto.FLOAT
        result = helper.make_tensor_value_info(output, kind, [None] * rank)
        graph = helper.make_graph(self.nodes, "graph", [self.input], [result], self.constants)
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=4 if self.opset < 11 else 10)


def convolutional(opset=17, image=("n", 3, HEIGHT, WIDTH), kind=TensorProto.FLOAT, modules=False):
    """Every kind of layer of convolutional networks. Returns the model, and its layers without the classifier."""
    net = Network(opset, image, kind)
    channels_last = image[-1] in (1, 3)
    colours = image[3] if channels_last else image[1]
    name = (lambda text: text) if modules else (lambda text: None)
    x = net.node("Cast", "image", to=TensorProto.FLOAT) if kind == TensorProto.UINT8 else "image"
    x = net.node("Transpose", x, perm=[0, 3, 1, 2]) if channels_last else x
    x = net.node("Div", net.node("Sub", x, net.real_constant(120)), net.real_constant(64))
    x = net.normalized(net.convolution(x, colours, CHANNELS, 5, 2, bias=False, name=name("features.0.0")), CHANNELS)
    x = shortcut = net.tap(net.node("Relu", x), "nchw")
    x = net.convolution(x, CHANNELS, CHANNELS, groups=CHANNELS, name=name("features.1.depthwise"))
    x = net.tap(net.clip(x, 0, 6), "nchw")
    x = net.convolution(x, CHANNELS, CHANNELS, size=1, bias=False, name=name("features.1.project"))
    x = net.node("Add", net.tap(net.normalized(x, CHANNELS), "nchw"), shortcut)
    x = net.convolution(x, CHANNELS, 20, 3, 2, name=name("features.2"))
    x = net.tap(net.node("Mul", x, net.node("Sigmoid", x)), "nchw")
    x = net.node("Flatten", net.node("GlobalAveragePool", x), axis=1)
    x = net.tap(net.node("Relu", net.gemm(x, 20, 16)), "nc")
    x = net.node("Softmax", net.gemm(x, 16, CLASSES), axis=1)
    return net.model(x), net.taps


def patches(net, images=0):
    """Patches as tokens: [n, 20, C]."""
    x = net.tap(net.convolution("image", 3, CHANNELS, 8, 8), "nchw")
    x = net.node("Mul", x, net.real_constant(1 / 64))
    return net.node("Transpose", net.node("Reshape", x, net.integers(images, CHANNELS, -1)), perm=[0, 2, 1])


def with_class_token(net, x, images=0):
    token = net.weights(1, 1, CHANNELS)
    if images == 0:
        token = net.node("Expand", token, net.shape_of(x, 1, CHANNELS))
    return net.node("Add", net.node("Concat", token, x, axis=1), net.weights(1, 21, CHANNELS, fan=4))


def perceptron(net, x, axes):
    y = net.tap(net.gelu(net.dense(net.layer_norm(x), CHANNELS, 2 * CHANNELS)), axes)
    return net.node("Add", x, net.tap(net.dense(y, 2 * CHANNELS, CHANNELS), axes))


def headed(net, x):
    """A classifier on the first token of [n, tokens, C]."""
    x = net.node("Gather", net.layer_norm(x), net.constant(np.array(0, np.int64)), axis=1)
    return net.model(net.gemm(x, CHANNELS, CLASSES)), net.taps


def transformer(images=0):
    """A vision transformer of one block: tokens are [n, tokens, C].

    Args:
        images: the number of images that the shapes hold, as exporters write them for a batch of one; 0: any
    """
    net = Network(image=(images or "n", 3, HEIGHT, WIDTH))
    x = with_class_token(net, patches(net, images), images)
    y = net.tap(net.dense(net.layer_norm(x), CHANNELS, 3 * CHANNELS), "ntc")
    y = net.attention(y, (images, 21 * images, HEADS, -1), [0, 2, 1, 3], [0, 2, 1, 3])
    y = net.node("Reshape", y, net.integers(images, 21 * images, CHANNELS))
    x = net.node("Add", x, net.tap(net.dense(y, CHANNELS, CHANNELS), "ntc"))
    return headed(net, perceptron(net, x, "ntc"))


def tokens_first():
    """As PyTorch's attention is exported: [tokens, n, C] is read by one layer, and [tokens * n, C] by the next."""
    net = Network()
    x = with_class_token(net, patches(net))
    y = net.node("Transpose", net.layer_norm(x), perm=[1, 0, 2])
    y = net.tap(net.dense(y, CHANNELS, 3 * CHANNELS), "tnc")
    # [tokens, n * heads, C / heads], and from there [n, heads, tokens, C / heads].
    parts = [net.node("Reshape", part, net.integers(0, 0, HEADS, -1)) for part in net.split(y, 2, 3)]
    query, key, value = (net.node("Transpose", part, perm=[1, 2, 0, 3]) for part in parts)
    scores = net.node("Softmax", net.node("MatMul", query, net.node("Transpose", key, perm=[0, 1, 3, 2])), axis=3)
    y = net.node("Transpose", net.node("MatMul", scores, value), perm=[2, 0, 1, 3])
    y = net.tap(net.gemm(net.node("Reshape", y, net.integers(-1, CHANNELS)), CHANNELS, CHANNELS), "t*nc")
    sizes = net.node("Concat", net.integers(21, -1, CHANNELS), axis=0)
    y = net.node("Transpose", net.node("Reshape", y, sizes), perm=[1, 0, 2])
    return headed(net, perceptron(net, net.node("Add", x, y), "ntc"))


def windows(images=-1):
    """As in Swin: attention in four windows of [2, 2] tokens, [n * windows, tokens, C], over a map [n, h, w, C].

    Args:
        images: the number of images that the shapes hold, as exporters write them for a batch of one; -1: any
    """
    net = Network(image=("n" if images < 0 else images, 3, 32, 32))
    x = net.tap(net.convolution("image", 3, CHANNELS, 8, 8), "nchw")
    x = net.node("Transpose", net.node("Mul", x, net.real_constant(1 / 64)), perm=[0, 2, 3, 1])
    whole, split = (images, 4, 4, CHANNELS), (images, 2, 2, 2, 2, CHANNELS)
    count = max(4 * images, -1)
    y = net.node("Reshape", net.layer_norm(x), net.integers(*split))
    y = net.node("Reshape", net.node("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.integers(count, 4, CHANNELS))
    y = net.tap(net.dense(y, CHANNELS, 3 * CHANNELS), "n*wtc")
    y = net.attention(y, (count, 4, HEADS, CHANNELS // HEADS), [0, 2, 1, 3], [0, 2, 1, 3])
    y = net.node("Reshape", y, net.integers(count, 4, CHANNELS))
    y = net.node("Reshape", net.tap(net.dense(y, CHANNELS, CHANNELS), "n*wtc"), net.integers(*split))
    y = net.node("Reshape", net.node("Transpose", y, perm=[0, 1, 3, 2, 4, 5]), net.integers(*whole))
    x = perceptron(net, net.node("Add", x, y), "nhwc")
    x = net.node("ReduceMean", x, axes=[1, 2], keepdims=0)
    return net.model(net.gemm(x, CHANNELS, CLASSES)), net.taps


def quantized():
    """A convolution of quantized weights, whose output is quantized too, and one that stays whole numbers."""
    net = Network(13)

    def scale(value, kind=np.uint8, zero=0):
        return net.constant(np.float32(value)), net.constant(np.array(zero, kind))

    def weights(*shape):
        values = net.random.integers(-100, 101, shape).astype(np.int8)
        return net.constant(values), *scale(0.02 / np.sqrt(np.prod(shape[1:])), np.int8)

    x = net.node("Conv", "image", net.node("DequantizeLinear", *weights(8, 3, 3, 3)), strides=[2, 2])
    x = net.node("QuantizeLinear", net.tap(net.node("Relu", x), "nchw"), *scale(0.4, zero=3))
    x = net.node("QLinearConv", x, *scale(0.4, zero=3), *weights(12, 8, 3, 3), *scale(0.2, zero=100))
    x = net.tap(net.node("DequantizeLinear", x, *scale(0.2, zero=100)), "nchw")
    x = net.node("Flatten", net.node("GlobalAveragePool", x), axis=1)
    return net.model(net.gemm(x, 12, CLASSES)), net.taps


def normalized(images="n", kind=TensorProto.FLOAT):
    """Local response normalizations of several sizes, as in GoogLeNet and AlexNet. They are taken beside the layers."""
    net = Network(image=(images, 3, HEIGHT, WIDTH), kind=kind)
    x, channels = "image", 3
    for attributes in (
        {"size": 5},
        {"size": 5, "alpha": 1e-4, "beta": 0.75, "bias": 1.0},
        {"size": 3, "alpha": 0.5, "beta": 0.5, "bias": 2.0},
        {"size": 41, "alpha": 2.0, "beta": 0.75, "bias": 0.5},
        {"size": 1, "beta": 1.5},
    ):
        x = net.tap(net.node("Relu", net.convolution(x, channels, 20)), "nchw")
        x = net.tap(net.node("LRN", x, **attributes), "nchw")
        channels = 20
    return net.model(x, rank=4), net.taps


def mixing(how):
    """A network whose second layer's rows depend on the other images of a batch."""
    net = Network()
    x = patches(net)
    if how == "reshape":
        # The tokens of all images in turn are taken for the tokens of one image each.
        x = net.node("Reshape", net.node("Transpose", x, perm=[1, 0, 2]), net.integers(-1, 20, CHANNELS))
    else:
        x = net.node("Sub", x, net.node("ReduceMean", x, axes=[0], keepdims=1))
    return net.model(net.dense(x, CHANNELS, 7), rank=3), net.taps


# ---- what is expected


def ending(kind, converted=False):
    """A network that ends as Inception, ResNet or AlexNet do. Returns the model, and the names of what its classifier
    reads, with their axes. A network that was converted from TensorFlow takes [n, height, width, channels]."""
    net = Network(image=("n", HEIGHT, WIDTH, 3) if converted else ("n", 3, HEIGHT, WIDTH))
    x = net.node("Transpose", "image", perm=[0, 3, 1, 2]) if converted else "image"
    first = net.node("Relu", net.convolution(x, 3, 16, stride=2))

    def branch(x, read, channels):
        return net.node("Relu", net.convolution(x, read, channels))

    if kind in ("branches", "pooled branches"):
        parts = [branch(first, 16, 8), branch(first, 16, 8)]
        pooled = net.node("MaxPool", first, kernel_shape=[3, 3], pads=[1] * 4)
        parts.append(branch(pooled, 16, 4))
        taps, features = [(part, "nchw") for part in parts], 20
        if kind == "pooled branches":
            averages = [net.node("GlobalAveragePool", part) for part in parts]
            x = net.node("Concat", *(net.node("Flatten", part) for part in averages), axis=1)
        else:
            inner = net.node("Concat", *parts[:2], axis=1)
            last = net.node("Concat", inner, parts[2], axis=-3)
            x = net.node("ReduceMean", last, axes=[-1, -2], keepdims=0)
    elif kind == "residual":
        last = net.node("Relu", net.node("Add", net.convolution(branch(first, 16, 16), 16, 16), first))
        taps, features = [(last, "nchw")], 16
        x = net.node("Squeeze", net.node("GlobalAveragePool", last), net.integers(2, 3))
    elif kind == "branch and residual":
        total = net.node("Relu", net.node("Add", branch(first, 16, 16), first))
        last = net.node("Concat", branch(first, 16, 4), total, axis=1)
        taps, features = [(last, "nchw")], 20
        x = net.node("Flatten", net.node("GlobalAveragePool", last))
    elif kind == "tokens":  # the axis of a concatenation of tokens is none of channels
        parts = [branch(first, 16, 8), branch(first, 16, 8)]
        shape = net.shape_of("image", 8, -1)
        rows = [net.node("Transpose", net.node("Reshape", part, shape), perm=[0, 2, 1]) for part in parts]
        last = net.node("Concat", *rows, axis=1)
        taps, features = [(last, "ntc")], 8
        x = net.node("ReduceMean", last, axes=[1], keepdims=0)
        taps = [(x, "ntc")]
    else:
        hidden = net.node("Relu", net.gemm(net.node("Flatten", net.node("GlobalAveragePool", first)), 16, 12))
        taps, features, x = [(hidden, "ntc")], 12, net.node("Identity", hidden)
    return net.model(net.node("Softmax", net.gemm(x, features, 10))), taps


def bound_to_one():
    """Exported for one image, with shapes that the number of images cannot be told of. As in torchvision's attention,
    values are [tokens, 1, C] and [tokens, C]."""
    net = Network(image=(1, 3, HEIGHT, WIDTH))
    x = net.tap(net.convolution("image", 3, CHANNELS, 8, 8), "nchw")
    places = (HEIGHT // 8) * (WIDTH // 8)
    x = net.node("Transpose", net.node("Reshape", x, net.integers(CHANNELS, places)), perm=[1, 0])
    x = net.node("Reshape", x, net.integers(places, 1, CHANNELS))
    x = net.node("Concat", net.weights(1, 1, CHANNELS, fan=4), x, axis=0)
    x = net.tap(net.dense(x, CHANNELS, CHANNELS), "tnc")
    x = net.node("Reshape", x, net.integers(-1, CHANNELS))
    x = net.tap(net.node("Relu", net.dense(x, CHANNELS, 10)), "t*nc")
    return net.model(net.node("ReduceMean", x, axes=[0], keepdims=0), rank=1), net.taps


def grouped(split, activated=False):
    """A convolution in two groups that is written out, as in AlexNet.

    Args:
        split: how the channels are split, by Split or by Slice
        activated: whether the activation comes before the concatenation
    """
    net = Network()
    first = net.tap(net.node("Relu", net.convolution("image", 3, 12, stride=2)), "nchw")
    if split == "Split":
        parts = net.split(first, 1, 2)
    else:
        edges = [net.integers(edge) for edge in (0, 6, 2**63 - 1)]
        parts = [net.node("Slice", first, *edges[place : place + 2], net.integers(1)) for place in range(2)]
    parts = [net.normalized(net.convolution(part, 6, 8, bias=False), 8) for part in parts]
    parts = [net.node("Relu", part) for part in parts] if activated else parts
    x = net.node("Concat", *parts, axis=1)
    x = net.tap(x if activated else net.node("Relu", net.node("Add", x, net.weights(1, 16, 1, 1, fan=2))), "nchw")
    return net.model(net.gemm(net.node("Flatten", net.node("GlobalAveragePool", x)), 16, 10)), net.taps


def grouped_last(together, axis):
    """Convolutions in three groups as tf2onnx writes them: the last axis is split, and each part has a Transpose.

    Args:
        together: the axis that the parts are put together on, "second" or "last"
        axis: what Split and Concat call the last axis
    """
    net = Network(image=("n", HEIGHT, WIDTH, 3))
    x = net.node("Transpose", "image", perm=[0, 3, 1, 2])
    first = net.tap(net.node("Relu", net.convolution(x, 3, 12, stride=2)), "nchw")
    depthwise = net.tap(net.node("Relu", net.convolution(first, 12, 12, groups=12)), "nchw")
    real = net.tap(net.node("Relu", net.convolution(depthwise, 12, 12, groups=2)), "nchw")
    parts = net.split(net.node("Transpose", real, perm=[0, 2, 3, 1]), axis, 3)
    parts = [net.convolution(net.node("Transpose", part, perm=[0, 3, 1, 2]), 4, 5) for part in parts]
    if together == "last":
        parts = [net.node("Transpose", part, perm=[0, 2, 3, 1]) for part in parts]
        x = net.node("Relu", net.node("Add", net.node("Concat", *parts, axis=axis), net.weights(15)))
        x = net.node("Transpose", net.tap(x, "nhwc"), perm=[0, 3, 1, 2])
    else:
        x = net.tap(net.node("Relu", net.node("Concat", *parts, axis=1)), "nchw")
    return net.model(net.gemm(net.node("Flatten", net.node("GlobalAveragePool", x)), 15, 10)), net.taps


def with_functions(unused=False):
    """Functions that call functions, with attributes, subgraphs and clashing names.

    Args:
        unused: whether a function has an output that its calls leave out. ONNX Runtime cannot run it then.
    """
    net = Network()
    opsets = [helper.make_opsetid("", net.opset), helper.make_opsetid("own", 1)]

    def function(name, inputs, outputs, nodes, attributes=(), defaults=()):
        return helper.make_function(
            "own", name, inputs, outputs, nodes, opsets, attributes=list(attributes), attribute_protos=list(defaults)
        )

    def node(operation, inputs, outputs, name=None, domain="", **references):
        made = helper.make_node(operation, inputs, outputs, name=name, domain=domain)
        for attribute, (reference, kind) in references.items():
            made.attribute.add(name=attribute, ref_attr_name=reference, type=kind)
        return made

    alpha = helper.make_attribute("alpha", 0.2)
    activated = function(
        "activated",
        ["x"],
        ["y", "unused"][: 1 + unused],
        [
            node("LeakyRelu", ["x"], ["y"], "act", alpha=("alpha", onnx.AttributeProto.FLOAT)),
            helper.make_node("Constant", [], ["unused"], value_float=1.0),
        ],
        defaults=[alpha],
    )
    double = helper.make_graph(
        [node("Add", ["y", "y"], ["t"]), node("Identity", ["t"], ["out"])],
        "then",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    same = helper.make_graph(
        [node("activated", ["y"], ["out"], domain="own")],
        "else",
        [],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
    )
    block = function(
        "block",
        ["x", "w", "b"],
        ["y"],
        [
            node("Conv", ["x", "w", "b"], ["t"], "conv", strides=("strides", onnx.AttributeProto.INTS)),
            node("activated", ["t"], ["y"], "inner", domain="own", alpha=("slope", onnx.AttributeProto.FLOAT)),
        ],
        attributes=["strides", "slope"],
    )
    chosen = function(
        "chosen",
        ["x"],
        ["z"],
        [
            helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True))),
            node("Identity", ["x"], ["y"]),
            helper.make_node("If", ["yes"], ["z"], then_branch=double, else_branch=same),
        ],
    )
    net.nodes.append(
        helper.make_node(
            "block",
            ["image", net.weights(8, 3, 3, 3), net.weights(8)],
            ["t__1"],
            domain="own",
            name="conv__1",
            strides=[2, 2],
            slope=0.1,
        )
    )
    net.tap("t__1", "nchw")
    for count in range(2):
        name = f"a{count}"
        inputs = [net.taps[-1][0], net.weights(8, 8, 3, 3)]
        net.nodes.append(helper.make_node("block", inputs, [name], domain="own", strides=[1, 1]))
        net.tap(name, "nchw")
    net.nodes.append(helper.make_node("chosen", [net.taps[-1][0]], ["last"], domain="own"))
    model = net.model("last", rank=4)
    model.opset_import.append(helper.make_opsetid("own", 1))
    model.functions.extend([activated, block, chosen])
    return model, net.taps


def values(model, batch, names):
    """The values of a network for a batch of [n, height, width, channels], by Python's onnxruntime."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    model.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    image = session.get_inputs()[0]
    types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
    fed = batch if image.shape[-1] in (1, 3) else batch.transpose(0, 3, 1, 2)
    fed = np.ascontiguousarray(fed.astype(types[image.type]))
    if image.shape[0] != 1:
        return session.run(names, {image.name: fed})
    runs = [session.run(names, {image.name: fed[place : place + 1]}) for place in range(len(fed))]
    return [np.concatenate(parts) for parts in zip(*runs, strict=True)]


def tokens(value, axes, count):
    """A layer's value as [n, tokens, C]; maps have their places for tokens."""
    channels = value.shape[1] if axes == "nchw" else value.shape[-1]
    if axes == "tnc":
        return value.transpose(1, 0, 2)
    if axes == "t*nc":
        return value.reshape(-1, count, channels).transpose(1, 0, 2)
    if axes == "nchw":
        return value.reshape(count, channels, -1).transpose(0, 2, 1)
    return value.reshape(count, -1, channels)


def part(value, axes, count, pooling, prefix):
    """The features of a layer. Only values of one axis beside n and C have tokens that can be told apart."""
    rows = tokens(value.astype(np.float64), axes, count)
    if pooling == "mean" or axes not in ("ntc", "tnc", "t*nc"):
        return rows.mean(1)
    first, rest = rows[:, 0], rows[:, prefix:].mean(1)
    return {"first": first, "rest": rest, "first+rest": np.concatenate([first, rest], 1)}[pooling]


def features(model, taps, batch, pooling="mean", prefix=1):
    """The rows [n, F] of a batch."""
    found = values(model, batch, [name for name, _ in taps])
    parts = [part(value, axes, len(batch), pooling, prefix) for value, (_, axes) in zip(found, taps, strict=True)]
    return np.concatenate(parts, 1)


def images(count, height=HEIGHT, width=WIDTH, channels=3, seed=2):
    return np.random.default_rng(seed).integers(0, 256, (count, height, width, channels)).astype(np.float32)
