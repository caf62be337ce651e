"""Writes what the fuzzers start from: `corpus.py FOLDER` fills FOLDER/jpeg, png, webp, statistics, graph, options, job,
and FOLDER/graph.pb."""

from __future__ import annotations

import contextlib
import io
import random
import struct
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import PIL.Image

import fne

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tests/python"))


def picture(height: int, width: int) -> np.ndarray:
    """A part of a photograph."""
    path = next(path for path in fne.zoo.sample_images() if path.endswith("coffee.png"))
    return fne.read_image(path)[150 : 150 + height, 200 : 200 + width]


def saved(image: PIL.Image.Image, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, **options)
    return buffer.getvalue()


def exif(orientation: int, big_endian: bool) -> bytes:
    order = ">" if big_endian else "<"
    head = (b"MM" if big_endian else b"II") + struct.pack(order + "HIH", 42, 8, 1)
    return b"Exif\0\0" + head + struct.pack(order + "HHIHHI", 0x0112, 3, 1, orientation, 0, 0)


def jpegs() -> list[bytes]:
    files = []
    for height, width in [(1, 1), (16, 16), (21, 35)]:
        image = PIL.Image.fromarray(picture(height, width))
        for mode in ("RGB", "L", "CMYK"):
            for progressive in (False, True):
                files.append(saved(image.convert(mode), format="JPEG", quality=60, progressive=progressive))
        files.append(saved(image, format="JPEG", quality=30, subsampling=2, exif=exif(6, height > 1)))
        restart = [cv2.IMWRITE_JPEG_RST_INTERVAL, 1, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
        files.append(cv2.imencode(".jpg", np.asarray(image), restart)[1].tobytes())
    return files


def pngs() -> list[bytes]:
    files = []
    for height, width in [(1, 1), (9, 17)]:
        image = PIL.Image.fromarray(picture(height, width))
        for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
            files.append(saved(image.convert(mode), format="PNG"))
        files.append(saved(image.quantize(4), format="PNG", bits=2, transparency=1, exif=exif(8, True)[6:]))
        files.append(cv2.imencode(".png", np.asarray(image).astype(np.uint16) * 257)[1].tobytes())
    return files


def webps() -> list[bytes]:
    """Lossy and lossless, with alpha, with an orientation, and an animation."""
    files = []
    for height in (1, 24):
        image = PIL.Image.fromarray(picture(height, 32))
        files += [saved(image, format="WEBP", lossless=lossless, exif=exif(6, True)) for lossless in (False, True)]
        files.append(saved(image.convert("RGBA"), format="WEBP", quality=20))
        turned = image.transpose(PIL.Image.Transpose.FLIP_LEFT_RIGHT)
        files.append(saved(image, format="WEBP", save_all=True, append_images=[turned], quality=50))
    return files


def statistics() -> list[bytes]:
    files = []
    for rows, features in [(0, 1), (1, 3), (50, 2)]:
        values = np.random.default_rng(rows).normal(size=(rows, features)).astype(np.float32)
        collected = fne.Statistics(features)
        if rows:
            collected.update(values)
        files.append(collected.to_bytes())
    return files


def graphs() -> list[bytes]:
    from conftest import small_network

    graph = small_network()[0]
    files = [graph.SerializeToString()]
    for node in graph.node:  # weights without values
        if node.op == "Const":
            node.attr["value"].tensor.tensor_content = b""
    files.append(graph.SerializeToString())
    return [*files, onnx_network(), onnx_network(calls=True)]


def onnx_network(*, calls: bool = False) -> bytes:
    """A convolution with an activation, as an ONNX file.

    Args:
        calls: whether the activation is a function of the file
    """
    from test_wrong_files import message

    def value(name: bytes, *sizes: int) -> bytes:
        shape = message(*((1, message((1, size))) for size in sizes))
        return message((1, name), (2, message((1, message((1, 1), (2, shape))))))

    weights = message(*((1, size) for size in (4, 3, 1, 1)), (2, 1), (8, b"w"), (9, bytes(48)))
    stride = message((1, b"strides"), (8, 2), (8, 2), (20, 7))
    conv = message((1, b"x"), (1, b"w"), (2, b"c"), (3, b"/conv/Conv"), (4, b"Conv"), (5, stride))
    relu = message((1, b"c"), (2, b"r"), (3, b"/relu/Relu"), (4, b"Relu"))
    ends = ((11, value(b"x", 1, 3, 8, 8)), (12, value(b"r", 1, 4, 4, 4)))
    opset = message((1, b""), (2, 17))
    if not calls:
        graph = message((1, conv), (1, relu), (2, b"g"), (5, weights), *ends)
        return message((1, 8), (8, opset), (7, graph))
    call = message((1, b"c"), (2, b"r"), (3, b"call"), (4, b"act"), (7, b"own"))
    own = message((1, b"x"), (2, b"y"), (4, b"LeakyRelu"), (5, message((1, b"alpha"), (21, b"alpha"), (20, 1))))
    function = message((1, b"act"), (4, b"x"), (5, b"y"), (6, b"alpha"), (7, own), (9, opset), (10, b"own"))
    graph = message((1, conv), (1, call), (2, b"g"), (5, weights), *ends)
    further = message((1, b"own"), (2, 1))
    return message((1, 8), (8, opset), (8, further), (25, function), (7, graph))


def options() -> list[bytes]:
    """Sizes and contents in the order that options.c reads them; mostly zero, as real ones are."""
    values = random.Random(1)
    files = []
    for _ in range(20):
        structs = b""
        for size in (48, 40, 32, 48, 16, 144, 96):
            content = bytearray(size - 8)
            for _ in range(values.randrange(4)):
                content[values.randrange(size - 8)] = values.choice([1, 2, 10, 224, 255])
            structs += struct.pack("<BB", (size - 8) // 8, 0) + content
        files.append(structs + values.choice([b"*", b"last:25%", b"all", b"relu[12]", b"conv1:0"]).ljust(32, b"\0") * 4)
    return files


def jobs() -> list[bytes]:
    """Manifest, checkpoint and failures of a job over a.jpg, b.jpg and c.jpg, of which none is an image, and one is."""
    from conftest import small_network

    files = []
    for good in range(2):
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            for name in ("a.jpg", "b.jpg", "c.jpg"):
                (folder / name).write_bytes(jpegs()[7] if good else b"none")
            for stop in ("embedding", "statistics", "codes", "finishing", ""):
                output = folder / f"job{stop}"

                def progress(phase: str, done: int, total: int, stop: str = stop) -> None:
                    if phase == stop and done == total - (stop == "finishing"):
                        raise InterruptedError

                with contextlib.suppress(InterruptedError, fne.FNEError):
                    fne.embed_dataset(
                        [f"{name}.jpg" for name in "abc"],
                        small_network()[0],
                        output,
                        root=folder,
                        size=(48, 64),
                        layers="relu5",
                        codes=("int8", "packed"),
                        progress=progress,
                    )
                parts = [output / name for name in ("manifest.json", "checkpoint", "failures.part")]
                manifest, checkpoint, failures = (path.read_bytes() if path.exists() else b"" for path in parts)
                files.append(struct.pack("<HH", len(manifest), len(checkpoint)) + manifest + checkpoint + failures)
    return files


def main(folder: Path) -> None:
    makers = {
        "jpeg": jpegs,
        "png": pngs,
        "webp": webps,
        "statistics": statistics,
        "graph": graphs,
        "options": options,
        "job": jobs,
    }
    for name, make in makers.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for number, content in enumerate(make()):
            (folder / name / f"seed-{number:02d}").write_bytes(content)
    (folder / "graph.pb").write_bytes(graphs()[1])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
