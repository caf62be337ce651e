"""Networks as people have them in Keras, for Keras 3 and for tf_keras. Layers of nested models, computed by Keras."""

from __future__ import annotations

import numpy as np

SIDE = 32
PATHS = ["base/conv1", "base/norm1", "base/relu1", "base/conv2", "hidden"]


def randomize(model):
    """Gives a model weights with which each layer does something, the normalizations too."""
    random = np.random.default_rng(4)
    model.set_weights(
        [random.uniform(0.1, 0.9, weight.shape).astype(np.float32) - 0.3 for weight in model.get_weights()]
    )
    for layer in flat(model):
        if type(layer).__name__ == "BatchNormalization":
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([gamma, beta, mean, np.abs(variance) + 0.5])
    return model


def flat(model):
    for layer in model.layers:
        yield layer
        if hasattr(layer, "layers"):
            yield from flat(layer)


def base(keras, name="base"):
    """A base with an Input of its own, as keras.applications gives them."""
    layers = keras.layers
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = layers.Conv2D(6, 3, name="conv1", use_bias=False)(x)
    x = layers.ReLU(name="relu1")(layers.BatchNormalization(name="norm1")(x))
    x = layers.Conv2D(7, 3, activation="relu", name="conv2")(x)
    return keras.Model(inputs, x, name=name)


def head(keras):
    layers = keras.layers
    return [layers.GlobalAveragePooling2D(), layers.Dense(9, activation="relu", name="hidden"), layers.Dense(4)]


def sequential(keras):
    return randomize(keras.Sequential([base(keras), *head(keras)]))


def functional(keras):
    x = inputs = keras.Input((SIDE, SIDE, 3), name="pictures")
    x = keras.layers.Rescaling(1 / 127.5, -1)(x)
    x = base(keras)(x, training=False)
    for layer in head(keras):
        x = layer(x)
    return randomize(keras.Model(inputs, x))


def deep(keras):
    """A base in a Sequential in a functional model in a Sequential."""
    x = inputs = keras.Input((SIDE, SIDE, 3))
    x = keras.Sequential([keras.layers.Rescaling(1 / 255), base(keras)], name="second")(x)
    first = keras.Model(inputs, x, name="first")
    return randomize(keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.Rescaling(2.0), first, *head(keras)]))


NETWORKS = {"sequential": (sequential, ""), "functional": (functional, ""), "deep": (deep, "first/second/")}


def values(keras, model, path, batch):
    """What Keras computes for a layer at a path of names, in models whose layers form a chain."""
    name, _, rest = path.partition("/")
    if not rest:
        return submodel(keras, model, model.get_layer(name), batch)
    position = [layer.name for layer in model.layers].index(name)
    if position > 0:
        batch = submodel(keras, model, model.layers[position - 1], batch)
    return values(keras, model.get_layer(name), rest, batch)


def submodel(keras, model, layer, batch):
    return np.asarray(keras.Model(model.inputs, layer.output)([batch], training=False))


def pooled(value):
    return value.mean((1, 2)) if value.ndim == 4 else value


def check_nested(keras, network, batch):
    """A network opens with the layers of the models inside it, and their values are those that Keras computes."""
    import fne

    make, inside = NETWORKS[network]
    model = make(keras)
    paths = [inside + path if "/" in path else path for path in PATHS]
    expected = [pooled(values(keras, model, path, batch)) for path in paths[:-1]]
    expected.append(hidden(model, values(keras, model, paths[-2], batch)))
    opened = fne.Model(model)
    with fne.Extractor(opened, layers=paths) as extractor:
        rows = extractor.extract(batch).features
    np.testing.assert_allclose(rows, np.concatenate(expected, 1), rtol=1e-5, atol=1e-5)
    taken = [opened.aliases[path] for path in (paths[2], paths[3], paths[4])]
    assert [layer.name for layer in opened.layers()] == taken
    assert [opened.aliases[name] for name in ("relu1", "conv2", "hidden")] == taken, "own names of layers"
    assert opened.resolved(inside + "base/conv*") == [opened.aliases[paths[0]], opened.aliases[paths[3]]]


def hidden(model, maps):
    """The dense layer "hidden" on pooled maps, by NumPy."""
    kernel, bias = model.get_layer("hidden").get_weights()
    return np.maximum(pooled(maps) @ kernel + bias, 0)
