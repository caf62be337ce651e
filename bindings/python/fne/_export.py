"""A job's rows as a file of another library: Parquet, CSV, NumPy's archive, FAISS, HDF5. They are streamed."""

from __future__ import annotations

import csv
import json
import os
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

from fne._arguments import as_path, choice
from fne._job import Job, row_numbers
from fne._kept_layers import selected
from fne._saved import exists, file_errors
from fne.compact import CompactCodes
from fne.errors import InvalidArgumentError, NotInstalledError

#: The values that a row can have.
VALUES = ("codes", "features")

_BLOCK_BYTES = 16 << 20


class _Block(NamedTuple):
    """Some rows.

    images: int64 [n], the numbers of the images
    values: [n, F']
    """

    images: NDArray[numpy.int64]
    values: NDArray[Any]


class _Table(NamedTuple):
    """What is written.

    values: what the rows are, a name of VALUES
    images: int64 [n], the number of each row's image
    blocks: gives all rows, some megabytes at a time
    layers: of each layer its name and the number of its features; for compact codes nothing
    """

    job: Job
    values: str
    dtype: numpy.dtype[Any]
    images: NDArray[numpy.int64]
    width: int
    blocks: Callable[[], Iterator[_Block]]
    layers: list[tuple[str, int]]

    def names(self, images: NDArray[numpy.int64]) -> list[str]:
        return [readable(self.job.names[image]) for image in images.tolist()]

    def classes(self, images: NDArray[numpy.int64]) -> list[str]:
        return [class_of(name) for name in self.names(images)]

    def about(self) -> str:
        """The job's settings and the layers' columns as JSON, for formats that have a place for it."""
        return json.dumps({"settings": self.job.manifest["settings"], "columns": self.layers})

    def columns(self) -> list[str]:
        """A name for each column of values."""
        if not self.layers:
            return [f"compact_{number}" for number in range(self.width)]
        return [f"{name}_{number}" for name, count in self.layers for number in range(count)]


def readable(name: str) -> str:
    """A name as UTF-8. Bytes that are not are U+FFFD; the image's number leads to the exact name in `Job.names`."""
    return os.fsencode(name).decode("utf-8", "replace")


def class_of(name: str) -> str:
    """The folder that an image is in, "" where its name has none.

    >>> class_of("train/rose/1.jpg"), class_of("1.jpg")
    ('rose', '')
    """
    return Path(name).parent.name


def export_job(
    job: Job | str | os.PathLike[str],
    output: str | os.PathLike[str],
    to: str | None = None,
    *,
    values: str = "codes",
    layers: str | Sequence[str] | None = None,
    compact: CompactCodes | None = None,
) -> int:
    """Writes a finished job's rows to a file of another library.

    Each row has the number of its image in the job ("image"), its name, its class, which is the folder that the image
    is in, and its values. With ten crops an image has ten rows. Images that failed are left out. The file appears when
    it is whole.

    Args:
        job: a `Job`, or its folder
        output: the file, which is replaced where it exists
        to: "parquet", "csv", "npz", "faiss" or "hdf5"; None: as the file's name ends

            - "parquet" has a column "codes" or "features" with a list of numbers in each row (pyarrow).
            - "csv" has a column for each feature.
            - "npz" has the arrays "image", "name", "class" and the values, and is read by `numpy.load`.
            - "faiss" is an index of the rows over their L2 norm, by inner product, which is the cosine. Its ids are the
              rows' numbers, and a file beside it, whose name ends in .names.csv, has the images (faiss-cpu).
            - "hdf5" has the datasets "image", "name", "class" and the values (h5py).
        values: "codes", int8 of -1, 0, 1; or "features", float32
        layers: as in `Job.features`
        compact: writes these codes, which are made of the job's features, instead of the job's own

    Returns:
        the number of rows

    Raises:
        NotInstalledError: the format's library is not installed
        InvalidArgumentError: no image of the job could be embedded, or an argument is wrong
        FileError: the job does not keep these values, or the file cannot be written
    """
    opened = job if isinstance(job, Job) else Job(job)
    path = as_path(output)
    name = FORMATS_BY_ENDING.get(path.suffix.lower()) if to is None else to
    if name is None:
        endings = ", ".join(FORMATS_BY_ENDING)
        raise InvalidArgumentError(f"'{path}' does not say the format by its ending ({endings}); give it with 'to'")
    write = choice("to", name, _WRITERS)
    choice("values", values, dict.fromkeys(VALUES))
    if compact is not None and (layers is not None or values != "codes"):
        raise InvalidArgumentError("compact codes are written whole; leave layers and values out")
    table = _compact_table(opened, compact) if compact is not None else _table(opened, values, layers)
    if not len(table.images):
        raise InvalidArgumentError(f"no image of the job in '{opened.folder}' could be embedded; there are no rows")
    write(table, path)
    return len(table.images)


def _table(job: Job, values: str, layers: str | Sequence[str] | None) -> _Table:
    given = ["all"] if layers is None else [layers] if isinstance(layers, str) else list(layers)
    wanted = selected(job.layers, given, where=f"the job in '{job.folder}'")
    read = job.features if values == "features" else _reader_of_codes(job)
    names = [layer.name for layer in wanted]
    counts = [(layer.name, layer.feature_count) for layer in wanted]
    width = sum(count for _, count in counts)
    good = numpy.flatnonzero(job.ok)
    step = max(1, _BLOCK_BYTES // (4 * job.feature_count * job.rows_per_image))

    def blocks() -> Iterator[_Block]:
        for first in range(0, len(good), step):
            images = good[first : first + step]
            yield _Block(images.repeat(job.rows_per_image), numpy.ascontiguousarray(read(names, images)))

    dtype = numpy.dtype(numpy.float32 if values == "features" else numpy.int8)
    return _Table(job, values, dtype, good.repeat(job.rows_per_image), width, blocks, counts)


def _reader_of_codes(job: Job) -> Callable[[Sequence[str], NDArray[numpy.int64]], NDArray[Any]]:
    """Reads int8 codes of layers and images, also of a job that keeps packed ones only."""
    if exists(job.folder / "codes.npy") or not exists(job.folder / "codes_packed.npy"):
        return job.codes
    packed = job.packed_codes()
    return lambda layers, images: packed[row_numbers(images, job.rows_per_image)].unpack()[:, job.columns(layers)]


def _compact_table(job: Job, compact: CompactCodes) -> _Table:
    if job.rows_per_image != 1:
        raise InvalidArgumentError("the job has ten crops per image; compact codes are of one row per image")
    packed = compact.transform(job)
    good = numpy.flatnonzero(job.ok)
    step = max(1, _BLOCK_BYTES // compact.dimensions)

    def blocks() -> Iterator[_Block]:
        for first in range(0, len(good), step):
            images = good[first : first + step]
            yield _Block(images, packed[images].unpack())

    return _Table(job, "codes", numpy.dtype(numpy.int8), good, compact.dimensions, blocks, [])


# ---- the formats


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A path to write to. The file has its own name when it is whole, and is removed where something fails."""
    part = path.with_name(path.name + ".part")
    with file_errors(path, "written"):
        try:
            yield part
            os.replace(part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _missing(what: str, package: str) -> NotInstalledError:
    return NotInstalledError(f"{what} needs {package}: pip install {package}, or fne[export]")


def _write_parquet(table: _Table, path: Path) -> None:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise _missing("Parquet", "pyarrow") from None
    kind = pyarrow.list_(pyarrow.from_numpy_dtype(table.dtype), table.width)
    texts = [("name", pyarrow.string()), ("class", pyarrow.string())]
    schema = pyarrow.schema([("image", pyarrow.int64()), *texts, (table.values, kind)], metadata={"fne": table.about()})
    with _whole(path) as part, pyarrow.parquet.ParquetWriter(part, schema) as writer:
        for images, values in table.blocks():
            rows = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(values.ravel()), table.width)
            columns = [pyarrow.array(images), table.names(images), table.classes(images), rows]
            writer.write_batch(pyarrow.record_batch(columns, schema=schema))


def _write_csv(table: _Table, path: Path) -> None:
    with _whole(path) as part, open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "name", "class", *table.columns()])
        for images, values in table.blocks():
            names, classes = table.names(images), table.classes(images)
            for image, name, label, row in zip(images.tolist(), names, classes, values, strict=True):
                # float32's own shortest digits, which read back as the same number
                writer.writerow([image, name, label, *(row.tolist() if row.dtype == numpy.int8 else map(str, row))])


def _write_npz(table: _Table, path: Path) -> None:
    images = table.images
    with _whole(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        texts = {"name": numpy.array(table.names(images)), "class": numpy.array(table.classes(images))}
        for name, array in {"image": images, **texts, "columns": numpy.array(table.about())}.items():
            with archive.open(name + ".npy", "w", force_zip64=True) as file:
                numpy.lib.format.write_array(file, numpy.asanyarray(array), allow_pickle=False)
        with archive.open(table.values + ".npy", "w", force_zip64=True) as file:
            header = {"descr": table.dtype.str, "fortran_order": False, "shape": (len(images), table.width)}
            numpy.lib.format.write_array_header_1_0(file, header)
            for block in table.blocks():
                file.write(block.values.tobytes())


def _write_faiss(table: _Table, path: Path) -> None:
    try:
        import faiss
    except ImportError:
        raise _missing("an index of FAISS", "faiss-cpu") from None
    index = faiss.IndexFlatIP(table.width)
    names = path.with_name(path.name + ".names.csv")
    with _whole(names) as part, open(part, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["row", "image", "name", "class"])
        for images, values in table.blocks():
            rows = values.astype(numpy.float32)
            norms = numpy.linalg.norm(rows, axis=1, keepdims=True)
            texts = zip(images.tolist(), table.names(images), table.classes(images), strict=True)
            writer.writerows([index.ntotal + row, *text] for row, text in enumerate(texts))
            index.add((rows / numpy.where(norms > 0, norms, 1)).astype(numpy.float32))
    with _whole(path) as part:
        faiss.write_index(index, str(part))


def _write_hdf5(table: _Table, path: Path) -> None:
    try:
        import h5py
    except ImportError:
        raise _missing("HDF5", "h5py") from None
    with _whole(path) as part, h5py.File(part, "w") as file:
        file.attrs["fne"] = table.about()
        rows = len(table.images)
        numbers = file.create_dataset("image", (rows,), numpy.int64)
        names, classes = (file.create_dataset(name, (rows,), h5py.string_dtype("utf-8")) for name in ("name", "class"))
        matrix = file.create_dataset(table.values, (rows, table.width), table.dtype)
        done = 0
        for images, values in table.blocks():
            at = slice(done, done + len(images))
            numbers[at], matrix[at] = images, values
            names[at], classes[at] = table.names(images), table.classes(images)
            done += len(images)


_WRITERS: dict[str, Callable[[_Table, Path], None]] = {
    "parquet": _write_parquet,
    "csv": _write_csv,
    "npz": _write_npz,
    "faiss": _write_faiss,
    "hdf5": _write_hdf5,
}

#: The names of the formats.
FORMATS = tuple(_WRITERS)

#: The formats by the endings of files' names.
FORMATS_BY_ENDING = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".npz": "npz",
    ".faiss": "faiss",
    ".h5": "hdf5",
    ".hdf5": "hdf5",
}


def samples(job: Job | str | os.PathLike[str]) -> list[dict[str, Any]]:
    """A job's images as a list of samples, as FiftyOne and other viewers take them.

    Returns:
        for each image that was embedded {"image": its number, "filepath": its path, "label": its class}. The path is
        where the image was when the job ran, or the name alone where this is not known.
    """
    opened = job if isinstance(job, Job) else Job(job)
    root = opened.places.images or ""
    return [
        {
            "image": image,
            "filepath": os.path.join(root, opened.names[image]),
            "label": class_of(readable(opened.names[image])),
        }
        for image in numpy.flatnonzero(opened.ok).tolist()
    ]
