"""Photographs of many megapixels, made of the sample photographs, and files of them as cameras write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np

HEIGHT, WIDTH = 3000, 4000
#: The deviation of the noise, which is blurred a little as by a camera's own filter. A JPEG takes about 2 MB so.
NOISE, BLUR = 6.0, 0.8

#: The kinds of files, with their endings and OpenCV's options.
KINDS: dict[str, tuple[str, list[int]]] = {
    "baseline": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]),
    "baseline, turned": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92]),
    "progressive": (".jpg", [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
    "WebP": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 90]),
}
#: A JPEG's segment with EXIF data that ask for a quarter turn.
TURN = b"\xff\xe1\x00\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def sensor_noise() -> Any:
    """Noise of HEIGHT x WIDTH."""
    noise = np.random.default_rng(12).normal(0, NOISE, (HEIGHT, WIDTH, 3)).astype(np.float32)
    return cv2.GaussianBlur(noise, (0, 0), BLUR)


def smooth(source: str | Path, height: int = HEIGHT, width: int = WIDTH) -> Any:
    """An enlarged photograph, cut to the new aspect. It has no noise, as after a telephone's own filters."""
    image = cv2.imread(str(source))
    old_height, old_width = image.shape[:2]
    rows, columns = min(old_height, old_width * height // width), min(old_width, old_height * width // height)
    top, left = (old_height - rows) // 2, (old_width - columns) // 2
    part = image[top : top + rows, left : left + columns]
    return cv2.resize(part, (width, height), interpolation=cv2.INTER_CUBIC)


def enlarged(source: str | Path, noise: Any) -> Any:
    """An enlarged photograph of HEIGHT x WIDTH with a sensor's noise."""
    return cv2.add(smooth(source), noise, dtype=cv2.CV_8U)


def saved(image: Any, kind: str, path: Path) -> Path:
    """Writes the photograph beside the path, with the ending of its kind."""
    ending, options = KINDS[kind]
    path = path.with_suffix(ending)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image, options)
    if kind == "baseline, turned":
        content = path.read_bytes()
        path.write_bytes(content[:2] + TURN + content[2:])
    return path
