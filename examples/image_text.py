"""Images and sentences in one space: find photographs by words, and words for photographs.

    .venv/bin/python examples/image_text.py CAPTIONS [--query "a yellow flower"] [-k 5]

CAPTIONS is a file of lines "photograph<tab>sentence". Photographs are relative to the file, and may have several
lines. A ridge regression maps the embedding of a photograph to the embedding of its sentences. That is TF-IDF,
reduced by a singular value decomposition (latent semantic analysis). Any sentence encoder can take its place. One
photograph in five is held out. The program says how often the right one is among the first.
"""

from __future__ import annotations

import argparse
import collections
import tempfile
from pathlib import Path

import numpy
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer

import fne


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--query", action="append", default=[], help="words to find photographs by; may be repeated")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--job", type=Path, help="where the embedding is kept (a temporary folder)")
    given = parser.parse_args()

    sentences: dict[str, list[str]] = collections.defaultdict(list)
    for number, line in enumerate(given.captions.read_text("utf-8").split("\n"), 1):
        if not line.strip():
            continue
        name, tab, sentence = line.partition("\t")
        if not name or not tab:
            parser.error(f"{given.captions}, line {number}: {line!r} is not photograph<tab>sentence")
        sentences[name].append(sentence)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.job or Path(temporary) / "job"
        network = fne.zoo.efficientnet_lite0()
        job = fne.embed_dataset(list(sentences), network, folder, root=given.captions.parent, progress=True)
        good = numpy.flatnonzero(job.ok)
        names = [job.names[image] for image in good]
        held = numpy.random.default_rng(0).random(len(names)) < 0.2
        # The statistics come from the photographs that train the map alone.
        codes = job.ternarize(job.statistics(good[~held]), images=good).astype(numpy.float32)

    texts = [" ".join(sentences[name]) for name in names]
    training = [text for text, out in zip(texts, held, strict=True) if not out]
    vectors = TfidfVectorizer(ngram_range=(1, 2)).fit(training)
    rank = min(64, len(vectors.vocabulary_) - 1, len(training) - 1)
    language = make_pipeline(vectors, TruncatedSVD(rank, random_state=0), Normalizer()).fit(training)
    ridge = RidgeCV(alphas=numpy.logspace(1, 6, 6)).fit(codes[~held], language.transform(training))
    images = Normalizer().transform(ridge.predict(codes))

    words = language.transform([text for text, out in zip(texts, held, strict=True) if out])
    scores = words @ images[held].T
    asked = numpy.array([text for text, out in zip(texts, held, strict=True) if out])
    right = asked[:, None] == asked  # photographs with the same words are all right
    print(f"{(~held).sum()} photographs train, {held.sum()} are held out, {rank} dimensions, ridge {ridge.alpha_:g}")
    for title, matrix in (("photographs by words", scores), ("words by photographs", scores.T)):
        best = numpy.where(right, matrix, -numpy.inf).max(1, keepdims=True)
        places = (matrix > best + 1e-9).sum(1)
        print(f"  {title}: a right one first {numpy.mean(places < 1):.3f}, among five {numpy.mean(places < 5):.3f}")
    for query in given.query:
        found = numpy.argsort(-(images @ language.transform([query])[0]))[: given.k]
        print(query)
        for image in found:
            print(f"  {names[image]}: {texts[image]}")


if __name__ == "__main__":
    main()
