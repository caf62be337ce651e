"""Every operation that libfne allows, with inputs that are odd, between an image and a convolution and after one.

    python operation_sweep.py --seconds 60 --seed 1          runs a case of each operation, then the next one
    python operation_sweep.py Conv2D --show 12 --seed 1      shows a case and runs it in this process

The inputs are of odd ranks, sizes and types, and hold numbers that are odd. TensorFlow knows some of their shapes only
when it runs. A case is a result or an error. What ends the process or takes more than 20 seconds is a finding.
"""

from __future__ import annotations

import argparse
import collections
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from graph_mutants import CHILDREN, FLOAT, INT32, INT64, NUMBERS, TEXTS, Origins, outcome, outcomes

BOOL, TEXT, RESOURCE, VARIANT = 10, 7, 20, 21
# Types of numbers: float16, bfloat16, float64, uint8, int8, int16, complex64, and those above.
OTHER_TYPES = [19, 14, 2, 4, 6, 5, 8, BOOL, INT32, INT64, FLOAT]
SHAPES: list[list[int]] = [
    [],
    [0],
    [1],
    [2],
    [3],
    [4],
    [8],
    [0, 3],
    [1, 1],
    [2, 2],
    [4, 2],
    [3, 3],
    [2, 0, 2],
    [1, 1, 3],
]
SHAPES += [[2, 3, 4], [1, 4, 4, 3], [2, 2, 2, 2], [1, 1, 1, 1], [0, 4, 4, 3], [1, 2, 2, 2, 3], [1] * 8]
COUNTS = [1, 1, 2, 2, 3, 5]


def surroundings(tf: Any) -> Any:
    """The nodes that odd operations read."""
    with tf.Graph().as_default() as graph:
        image = tf.compat.v1.placeholder(tf.float32, [None, 16, 16, 3], "image")
        first = tf.nn.conv2d(image / 255, np.full((3, 3, 3, 3), 0.1, np.float32), 4, "SAME", name="first")
        relu = tf.nn.relu(first, "relu")
        number = tf.reduce_mean(relu, name="number")
        tf.less_equal(tf.minimum(tf.abs(number), 0.0, name="zero"), 0.0, "yes")
        tf.reduce_mean(relu, [0, 1, 2], name="vector")
        matrix = tf.reduce_mean(relu, [0, 3], name="matrix")
        tf.reshape(matrix, [1, 2, 2, 2, 2], name="volume")
        tf.strided_slice(relu, [0, 0], [0, 4], name="empty")
        tf.constant(np.full((1, 1, 3, 4), 0.5, np.float32), name="weights")
        tf.constant(0, name="0")
        tf.constant(1, name="1")
        tf.raw_ops.TensorListReserve(element_shape=[3], num_elements=2, element_dtype=tf.float32, name="list")
        tf.raw_ops.TensorListFromTensor(tensor=matrix, element_shape=[4], name="filled_list")
        tf.raw_ops.TensorArrayV3(size=2, dtype=tf.float32, name="array")

        @tf.function(input_signature=[tf.TensorSpec(None)])
        def same(x: Any) -> Any:
            return tf.nn.relu(x)

        @tf.function(input_signature=[tf.TensorSpec(None)])
        def scalar(x: Any) -> Any:
            return tf.reduce_max(x) > 1

        @tf.function(input_signature=[tf.TensorSpec(None)])
        def never(x: Any) -> Any:
            return (tf.reduce_max(x) > 1) & (tf.reduce_max(x) < 1)

        @tf.function(input_signature=[tf.TensorSpec(None), tf.TensorSpec(None)])
        def two(x: Any, y: Any) -> Any:
            return tf.nn.conv2d(x, y, 1, "SAME")

    definition = graph.as_graph_def()
    for name, function in (("same", same), ("scalar", scalar), ("never", never), ("two", two)):
        added = definition.library.function.add()
        added.CopyFrom(function.get_concrete_function().function_def)
        added.signature.name = name
    return definition


class Prepared(Origins):
    """What the cases are made from."""

    def __init__(self) -> None:
        super().__init__()
        self.surroundings = surroundings(self.tf)


class Case:
    """A graph with one operation of interest, "odd"."""

    def __init__(self, origins: Prepared, operation: str, number: int, seed: int) -> None:
        self.origins, self.tf = origins, origins.tf
        self.random = Random(f"{operation} {number} {seed}")
        self.definition = origins.definitions[operation]
        self.graph = self.tf.compat.v1.GraphDef()
        self.graph.CopyFrom(origins.surroundings)
        self.odd = self.tf.compat.v1.NodeDef(name="odd", op=operation)
        is_after = self.random.random() < 0.4
        self.map = "relu" if is_after else "image"
        for attribute in self.definition.attr:
            if not (attribute.HasField("default_value") and self.random.random() < 0.7):
                self.fill(attribute, self.odd.attr[attribute.name])
        for argument in self.definition.input_arg:
            self.odd.input.extend(self.inputs(argument))
        self.graph.node.append(self.odd)
        self.finish()

    def data(self) -> bytes:
        return bytes(self.graph.SerializeToString(deterministic=True))

    # ---- attributes

    def fill(self, attribute: Any, value: Any) -> None:
        random, allowed = self.random, attribute.allowed_values.list
        if attribute.type == "type":
            types = list(allowed.type) or OTHER_TYPES
            value.type = FLOAT if FLOAT in types and random.random() < 0.5 else random.choice(types)
        elif attribute.type == "int":
            value.i = random.choice(COUNTS) if random.random() < 0.8 else random.choice([*NUMBERS, *range(-5, 6)])
        elif attribute.type == "float":
            value.f = random.choice([0.5, 1, -1, 0, 1e38, float("nan")])
        elif attribute.type == "bool":
            value.b = random.random() < 0.5
        elif attribute.type == "string":
            value.s = random.choice(list(allowed.s) or [*TEXTS, b"ij,jk->ik", b"i...->...", b"ii->i"])
        elif attribute.type == "list(int)":
            value.list.i[:] = random.choice(
                [[1, 1, 1, 1], [1, 2, 2, 1], [1] * 5, [0], [], [3, 1], self.numbers([4])[0]]
            )
        elif attribute.type == "list(float)":
            value.list.f[:] = random.choice([[], [1.0, 2.0], [2.0, 1.0], [float("nan")]])
        elif attribute.type == "list(type)":
            value.list.type[:] = random.choice([[FLOAT], [FLOAT, FLOAT], [INT32, FLOAT, BOOL], []])
        elif attribute.type == "list(shape)":
            value.list.shape.add()
        elif attribute.type == "shape":
            for size in random.choice([*SHAPES, [-1, 2], [1 << 20, 1 << 20]]):
                value.shape.dim.add(size=size)
        elif attribute.type == "func":
            # How often a loop runs cannot be told from a graph, so loops here end at once.
            value.func.name = "never" if attribute.name == "cond" else random.choice(["same", "scalar", "two"])
        elif attribute.type == "tensor":
            value.tensor.CopyFrom(self.content(self.odd.attr["dtype"].type or FLOAT))
        else:
            value.CopyFrom(attribute.default_value)

    def numbers(self, shape: list[int]) -> tuple[list[int], Any]:
        """Numbers of a shape: mostly small, sometimes one or all of them far out."""
        random = self.random
        low, high = random.choice([(0, 1), (0, 3), (-2, 2), (1, 2), (0, 0), (-1, -1)])
        values = np.array([random.randint(low, high) for _ in range(int(np.prod(shape)))], np.int64)
        if values.size and random.random() < 0.4:
            values[random.randrange(values.size)] = random.choice(NUMBERS)
        return values.tolist(), values.reshape(shape)

    # ---- inputs

    def type_of(self, argument: Any) -> list[int]:
        """The types of an argument's tensors."""
        if argument.type_list_attr:
            return list(self.odd.attr[argument.type_list_attr].list.type)
        type = argument.type or self.odd.attr[argument.type_attr].type or self.default(argument.type_attr) or FLOAT
        if not argument.number_attr:
            return [type]
        return [type] * max(0, min(self.odd.attr[argument.number_attr].i or self.random.choice(COUNTS), 5))

    def default(self, name: str) -> int:
        return next((attribute.default_value.type for attribute in self.definition.attr if attribute.name == name), 0)

    def inputs(self, argument: Any) -> list[str]:
        types = self.type_of(argument)
        if argument.number_attr:
            self.odd.attr[argument.number_attr].i = len(types)
        names = [self.source(type) for type in types]
        # Several tensors of one kind are often alike, since most operations refuse others.
        return names[:1] * len(names) if argument.number_attr and self.random.random() < 0.6 else names

    def source(self, type: int) -> str:
        """A tensor of a type, of which TensorFlow may not know the shape before it runs."""
        tensor = self.plain(type)
        if type in (VARIANT, RESOURCE, TEXT) or self.random.random() > 0.3:
            return tensor
        other = self.cast("volume", type) if type != FLOAT else "volume"
        chosen = self.add("Switch", [tensor, "yes"], T=type).name
        left = self.add("Switch", [other, "yes"], T=type).name
        merged = self.add("Merge", [f"{chosen}:1", left], T=type)
        merged.attr["N"].i = 2
        return str(merged.name)

    def plain(self, type: int) -> str:
        """Part of the image or map, a constant, or a tensor that is computed so as to be this constant."""
        random = self.random
        if type == VARIANT:
            return random.choice(["list", "filled_list"])
        if type == RESOURCE:
            return "array"
        if type != TEXT and random.random() < (0.6 if type == FLOAT else 0.2):
            tensor = random.choice([self.map, self.map, "number", "vector", "matrix", "volume", "empty"])
            return tensor if type == FLOAT else self.cast(tensor, type)
        constant = self.add("Const", [], dtype=type)
        shape = random.choice(SHAPES)
        constant.attr["value"].tensor.CopyFrom(self.content(type, shape))
        if type in (TEXT, BOOL) or random.random() < 0.5:
            return str(constant.name)
        return str(self.add("AddV2", [constant.name, self.cast("zero", type)], T=type).name)

    def content(self, type: int, shape: list[int] | None = None) -> Any:
        shape = self.random.choice(SHAPES) if shape is None else shape
        kind = self.tf.as_dtype(type)
        if type == TEXT:
            return self.tf.make_tensor_proto(np.full(shape, b"text", object), shape=shape)
        try:
            numbers = self.numbers(shape)[1]
            if kind.is_integer:
                numbers = np.clip(numbers, max(kind.min, NUMBERS[-1]), min(kind.max, NUMBERS[13]))
            with np.errstate(over="ignore"):
                numbers = numbers.astype(kind.as_numpy_dtype)
            return self.tf.make_tensor_proto(numbers, shape=shape)
        except (KeyError, TypeError, ValueError, OverflowError):  # no type of constants
            return self.tf.make_tensor_proto(np.zeros(shape, np.float32), shape=shape)

    def add(self, operation: str, inputs: list[str], **types: int) -> Any:
        node = self.graph.node.add(name=f"n{len(self.graph.node)}", op=operation, input=inputs)
        for name, type in types.items():
            node.attr[name].type = type
        return node

    def cast(self, tensor: str, type: int) -> str:
        return str(self.add("Cast", [tensor], SrcT=FLOAT, DstT=type).name)

    # ---- what follows

    def finish(self) -> None:
        """The map that the last convolution reads: the odd tensor, or the image plus its sum."""
        random = self.random
        found = [(place, type) for place, type in enumerate(self.outputs()) if type not in (TEXT, RESOURCE, VARIANT)]
        if not found:
            last = self.add("Identity", [self.map, "^odd"], T=FLOAT).name
        else:
            place, type = random.choice(found)
            last = f"odd:{place}"
            if type != FLOAT:
                last = self.add("Cast", [last], SrcT=type, DstT=FLOAT).name
            if random.random() < 0.7:
                rank = self.add("Rank", [last], T=FLOAT).name
                axes = self.add("Range", ["0", rank, "1"], Tidx=INT32).name
                total = self.add("Sum", [last, axes], T=FLOAT, Tidx=INT32).name
                last = self.add("AddV2", [self.map, total], T=FLOAT).name
        end = self.add("Conv2D", [last, "weights"], T=FLOAT)
        end.attr["strides"].list.i[:] = [1, 1, 1, 1]
        end.attr["padding"].s = b"SAME"

    def outputs(self) -> list[int]:
        types: list[int] = []
        for argument in self.definition.output_arg:
            if argument.type_list_attr:
                types += self.odd.attr[argument.type_list_attr].list.type
                continue
            type = argument.type or self.odd.attr[argument.type_attr].type or self.default(argument.type_attr) or FLOAT
            count = self.odd.attr[argument.number_attr].i if argument.number_attr else 1
            types += [type] * max(1, min(count, 3))
        return types


def sweep(origins: Prepared, folder: Path, cases: list[tuple[str, int]], seed: int) -> dict[tuple[str, int], str]:
    """What came of each case, by its operation and number."""
    for number, (operation, place) in enumerate(cases):
        (folder / f"{number}.pb").write_bytes(Case(origins, operation, place, seed).data())
    found: dict[tuple[str, int], str] = {}
    with ThreadPoolExecutor(CHILDREN) as pool:
        for part in pool.map(lambda first: outcomes(folder, first, len(cases), CHILDREN), range(CHILDREN)):
            found.update({cases[number]: text for number, text in part.items()})
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("operations", nargs="*", help="all that are allowed, unless some are named")
    parser.add_argument("--seconds", type=float, default=60, help="no round of cases begins after so much time")
    parser.add_argument("--cases", type=int, default=1000, help="rounds, each with a case of each operation")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, metavar="NUMBER", help="shows this case of an operation, and runs it here")
    given = parser.parse_args()
    origins = Prepared()
    if given.show is not None:
        case = Case(origins, given.operations[0], given.show, given.seed)
        print(case.odd, *(node for node in case.graph.node if node.name in case.odd.input))
        print(outcome(case.data(), say=True))
        return 0
    operations = given.operations or origins.allowed
    started = time.monotonic()
    found: dict[tuple[str, int], str] = {}
    for place in range(given.cases):
        with tempfile.TemporaryDirectory() as folder:
            part = sweep(origins, Path(folder), [(operation, place) for operation in operations], given.seed)
        for (operation, number), text in part.items():
            if text.startswith("death"):
                print(f"{operation} --show {number} --seed {given.seed}: {text}", flush=True)
        found.update(part)
        if time.monotonic() - started > given.seconds:
            break
    counts = collections.Counter(text.split()[0] for text in found.values())
    ran = {operation for (operation, _), text in found.items() if text == "result"}
    print(f"{len(found)} cases in {time.monotonic() - started:.0f} s with seed {given.seed}: {dict(counts)}")
    print(f"{len(ran)} of {len(operations)} operations ran")
    return 1 if counts["death"] else 0


if __name__ == "__main__":
    sys.exit(main())
