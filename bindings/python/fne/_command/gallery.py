"""What `fne serve` answers: the images of a job, their pictures, and their neighbours. It knows nothing of HTTP."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy
from numpy.typing import NDArray

import fne
from fne._command.comparison import LAYERS, Comparison, comparison
from fne._command.pictures import encoded, fitted, picture_below, square
from fne._command.searching import Searched, check_codes, check_rows, nearest, of_layers, query_codes, searched
from fne._command.sheet import Hit
from fne._export import class_of, readable
from fne.errors import InvalidArgumentError, MissingFileError

#: The choices of layers that the page offers, beside the layers themselves.
OFFERED = ("last:10%", "penultimate", "all", "last:25%")
#: They are prepared before anybody asks where the codes of the job take so many bytes at most.
_PREPARED_BYTES = 1 << 30

#: So many choices of layers are kept, beside those that are prepared, and so many small pictures.
_MOST_KEPT, _MOST_PICTURES = 3, 2000

#: The longest side of a small picture, and of a large one.
SMALL, LARGE = 160, 1600

#: What can go wrong with a file, an image or a network that others gave.
FAILURES = (fne.FNEError, OSError, ValueError, TypeError, ImportError)


class NoNetworkError(MissingFileError):
    """The job's network is not there, so that no image can be looked for."""


class NoSuchImageError(InvalidArgumentError):
    """The job has no such image, or no such class."""


class _Choice(NamedTuple):
    """What is compared for one choice of layers."""

    how: Comparison
    base: Searched


class Gallery:
    """A finished job that is looked at. Any number of threads may use it at once.

    Args:
        open_model: gives the job's network, which may take seconds
        images: the folder of the job's images
        layers, metric, expand: what is compared where a query says nothing else, as in `comparison`
        goal: what the network is opened for, as in `fne.Extractor`
    """

    def __init__(
        self,
        job: fne.Job,
        open_model: Callable[[], fne.Model],
        images: str,
        layers: Sequence[str] | None = None,
        metric: str | None = None,
        expand: int | None = None,
        goal: str = "latency",
    ) -> None:
        check_rows(job)
        check_codes(job)
        if not job.ok.any():
            raise fne.InvalidArgumentError(f"no image of the job in '{job.folder}' could be embedded")
        self.job, self._open_model, self._images = job, open_model, images
        self._layers, self._metric, self._expand, self._goal = layers, metric, expand, goal
        self._choices: OrderedDict[tuple[str, ...] | None, _Choice] = OrderedDict()
        self._pictures: OrderedDict[int, tuple[str, bytes]] = OrderedDict()
        self._choosing, self._picturing, self._embedding = threading.Lock(), threading.Lock(), threading.Lock()
        self._model: fne.Model | None = None
        self._extractor: fne.Extractor | None = None
        self._opened, self._reason = threading.Event(), ""
        self._thread: threading.Thread | None = None

    # ---- what takes long

    def prepare(self) -> None:
        """Begins to read the codes and to open the network, on a thread."""
        self._thread = threading.Thread(target=self._prepare, name="fne-serve-prepare", daemon=True)
        self._thread.start()

    def _prepare(self) -> None:
        try:
            self._model = self._open_model()
            self._extractor = self.job.extractor(self._model, on_error="skip", goal=self._goal)
        except FAILURES as failure:
            self._reason = str(failure)
        finally:
            self._opened.set()
        for layers in [None, *self._offered()]:
            with contextlib.suppress(*FAILURES):  # the first query that takes it says so
                self._choice(layers)

    def _offered(self) -> list[tuple[str, ...]]:
        """The choices that are prepared: none of a large job."""
        bytes_of_a_row = 16 * -(-self.job.feature_count // 64)
        return [(name,) for name in OFFERED] if len(self.job) * bytes_of_a_row <= _PREPARED_BYTES else []

    def close(self) -> None:
        """Waits for what is under way, and closes the network."""
        if self._thread is not None:
            self._thread.join()
        with self._embedding:
            if self._extractor is not None:
                self._extractor.close()

    def _network(self) -> tuple[fne.Model, fne.Extractor]:
        """The network, as soon as it is open."""
        self._opened.wait()
        if self._model is None or self._extractor is None:
            raise NoNetworkError(self._reason)
        return self._model, self._extractor

    def _choice(self, layers: tuple[str, ...] | None) -> _Choice:
        """What is compared for selectors of layers; None: what the command was given."""
        with self._choosing:
            found = self._choices.get(layers)
            if found is None:
                found = self._choices[layers] = self._chosen(layers)
                while len(self._choices) > _MOST_KEPT + len(self._offered()):
                    self._choices.popitem(last=False)
            self._choices.move_to_end(layers)
            return found

    def _chosen(self, layers: tuple[str, ...] | None) -> _Choice:
        def penultimate() -> list[str]:
            return [tensor.name for tensor in self._network()[0].penultimate()]

        how = comparison(self.job, self._layers if layers is None else layers, self._metric, penultimate, self._expand)
        same = next((kept for kept in self._choices.values() if kept.how.layers == how.layers), None)
        base = searched(self.job, of_layers(self.job, self._codes, how.layers)) if same is None else same.base
        if how.metric == "centred":
            base.codes.mean()  # the first search would compute it
        return _Choice(how, base)

    @cached_property
    def _codes(self) -> fne.PackedCodes:
        return self.job.packed_codes()

    # ---- the images

    @cached_property
    def classes(self) -> list[str]:
        """The class of each image, which is the name of its folder."""
        folders: dict[str, str] = {}
        result = []
        for name in self.job.names:
            folder = os.path.dirname(name)
            if folder not in folders:
                folders[folder] = readable(class_of(name))
            result.append(folders[folder])
        return result

    @cached_property
    def _members(self) -> dict[str, NDArray[numpy.int64]]:
        """The embedded images of each class, as their places among all embedded ones."""
        labels = numpy.array(self.classes, dtype=object)[self._good]
        return {str(label): numpy.flatnonzero(labels == label) for label in sorted(set(labels.tolist()))}

    @cached_property
    def _good(self) -> NDArray[numpy.int64]:
        return numpy.flatnonzero(self.job.ok)

    def _among(self, label: str | None) -> NDArray[numpy.int64] | None:
        if label is None:
            return None
        if label not in self._members:
            raise NoSuchImageError(f"the job has no class {label!r}")
        return self._members[label]

    def about(self) -> dict[str, Any]:
        """What the page shows of the job."""
        return {
            "name": readable(self.job.folder.absolute().name),
            "images": len(self.job),
            "embedded": len(self._good),
            "classes": [[label, len(members)] for label, members in self._members.items()],
            "layers": [layer.name for layer in self.job.layers],
            "selectors": list(self._layers or [LAYERS]),
            "offered": list(OFFERED),
            "network": self.network(),
        }

    def network(self) -> dict[str, str]:
        """Whether images can be looked for: "loading", "ready" or "none", and why not."""
        if not self._opened.is_set():
            return {"state": "loading", "reason": ""}
        return {"state": "none" if self._extractor is None else "ready", "reason": readable(self._reason)}

    def listed(self, first: int, count: int, label: str | None) -> dict[str, Any]:
        """Some of the embedded images, in the job's order.

        Raises:
            NoSuchImageError: there is no such class
        """
        among = self._among(label)
        images = self._good if among is None else self._good[among]
        return {
            "total": len(images),
            "images": [self._named(image) for image in images[first : first + count].tolist()],
        }

    def _named(self, image: int) -> dict[str, Any]:
        return {"image": image, "name": readable(self.job.names[image]), "class": self.classes[image]}

    def picture(self, image: int, is_large: bool) -> tuple[str, bytes] | str:
        """The type and the bytes of a picture, or why there is none.

        What is sent is made of the decoded pixels. So no file goes out as it is.

        Raises:
            NoSuchImageError: there is no such image
        """
        if not 0 <= image < len(self.job):
            raise NoSuchImageError(f"the job has no image {image}")
        with self._picturing:
            kept = None if is_large else self._pictures.get(image)
        if kept is not None:
            return kept
        pixels = picture_below(self._images, self.job.names[image])
        if isinstance(pixels, str):
            return pixels
        result = encoded(fitted(pixels, LARGE) if is_large else square(pixels, SMALL))
        if not is_large:
            with self._picturing:
                self._pictures[image] = result
                while len(self._pictures) > _MOST_PICTURES:
                    self._pictures.popitem(last=False)
        return result

    # ---- the neighbours

    def near(self, image: int, k: int, layers: tuple[str, ...] | None, label: str | None) -> dict[str, Any]:
        """The k images that are nearest to an image of the job, without itself.

        Args:
            layers: selectors; None: what the command was given
            label: only images of this class are searched; None: all

        Raises:
            NoSuchImageError: there is no such class, or no such image among the embedded ones
            FNEError: a selector selects nothing
        """
        row = int(numpy.searchsorted(self._good, image)) if 0 <= image < len(self.job) else len(self._good)
        if row >= len(self._good) or self._good[row] != image:
            raise NoSuchImageError(f"the job has no image {image} that could be embedded")
        choice = self._choice(layers)
        hits = nearest(self.job, choice.base, choice.base.codes[row], k + 1, choice.how, self._among(label))[0]
        return self._answer(choice, [hit for hit in hits if hit.image != image][:k], self._named(image))

    def near_picture(self, data: bytes, k: int, layers: tuple[str, ...] | None, label: str | None) -> dict[str, Any]:
        """The k images that are nearest to the one in encoded bytes.

        Raises:
            NoNetworkError: the job's network is not there
            ImageError: the bytes are no image that can be read
            NoSuchImageError, FNEError: as in `near`
        """
        among = self._among(label)
        extractor = self._network()[1]
        with self._embedding:
            packed, reasons = query_codes(self.job, extractor, [data])
        if reasons:
            raise fne.ImageError(reasons[0])
        choice = self._choice(layers)
        queries = of_layers(self.job, packed, choice.how.layers)
        return self._answer(choice, nearest(self.job, choice.base, queries, k, choice.how, among)[0], None)

    def _answer(self, choice: _Choice, hits: Sequence[Hit], query: dict[str, Any] | None) -> dict[str, Any]:
        found = [{**self._named(hit.image), "score": hit.score} for hit in hits]
        return {"compared": f"by the {choice.how.words}", "query": query, "found": found}
