"""Image search with a contact sheet, in one page.

    .venv/bin/python examples/image_search.py FOLDER QUERY... [--sheet sheet.png]

The program embeds the photographs of a folder into a job, with the default network. It resumes after a kill, and a
second run starts at once. For each query it finds the photographs whose codes are nearest. These are the codes of the
last quarter of the layers, less their mean. They take two bits per feature: those of a million photographs take 3 GB,
and a query reads them at the speed of memory. Each folder has a job of its own. If photographs came or went, remove the
job or name another with --job. `fne search` does the same from the command line.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from pathlib import Path

import numpy
from PIL import Image, ImageOps

import fne
from fne import zoo

SIDE = 128


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("queries", nargs="+", type=Path)
    parser.add_argument(
        "--job", type=Path, help="where the embedding is kept (a temporary folder, named after FOLDER's path)"
    )
    parser.add_argument("--sheet", type=Path, default=Path("sheet.png"))
    parser.add_argument("-k", type=int, default=8)
    given = parser.parse_args()

    path = hashlib.sha256(os.fsencode(given.folder.resolve())).hexdigest()[:16]
    output = given.job or Path(tempfile.gettempdir()) / f"image-search-{path}"
    network = zoo.efficientnet_lite0()
    job = fne.embed_dataset(given.folder, network, output, size=(224, 224), codes="packed", progress=True)
    good = numpy.flatnonzero(job.ok)  # files that cannot be read have no code
    base = job.packed_codes()[good].select("last:25%")
    metric = "centred" if len(base) >= 50 else "cosine"  # the mean of a few codes is not worth taking away

    # A code says how an image differs from a collection. So queries are standardized by the collection's statistics.
    extractor = job.extractor(network)
    mean, std = job.stats
    queries, _ = extractor.embed_packed(given.queries, mean, std)
    indices, cosines = base.search(queries.select("last:25%"), k=min(given.k, len(base)), metric=metric)

    sheet = Image.new("RGB", (SIDE * (1 + indices.shape[1]), SIDE * len(indices)), "white")
    for row, (query, found) in enumerate(zip(given.queries, indices, strict=True)):
        names = [job.names[good[index]] for index in found]
        for name, cosine in zip(names, cosines[row], strict=True):
            print(f"{query}\t{name}\t{cosine:.3f}")
        for column, path in enumerate([query, *(given.folder / name for name in names)]):
            picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
            sheet.paste(ImageOps.fit(picture, (SIDE, SIDE)), (column * SIDE, row * SIDE))
    sheet.save(given.sheet)
    print(f"{given.sheet}: each query, and what is nearest to it")


if __name__ == "__main__":
    main()
