"""What goes wrong, as exceptions. All derive from `FNEError`; where Python has a built-in for the case, from that too."""

from __future__ import annotations

from collections.abc import Sequence


class FNEError(Exception):
    """Base of all errors of libfne. `status` is the number in fne.h."""

    status: int = 0


class InvalidArgumentError(FNEError, ValueError):
    """An argument out of its range."""


class OutOfMemoryError(FNEError, MemoryError):
    """Memory is short."""


class FileError(FNEError, OSError):
    """A file is missing, is a folder, is empty, or cannot be read."""


class ImageError(FNEError, ValueError):
    """An image of another format than JPEG and PNG, a damaged one, or one beyond the limits."""


class GraphError(FNEError, ValueError):
    """Not a TensorFlow GraphDef, or a damaged one."""


class UnsafeGraphError(GraphError):
    """A graph with an operation that is not on the list of those that only compute."""


class TensorError(FNEError, ValueError):
    """A tensor of a rank, type or layout that cannot be embedded."""


class UnknownTensorError(TensorError):
    """The graph has no such tensor; the message lists the nearest names."""


class BackendError(FNEError, RuntimeError):
    """TensorFlow refused or failed."""


class BackendUnavailableError(BackendError):
    """TensorFlow's library was not found; the message lists the paths tried."""


class BackendConflictError(BackendError):
    """Another copy of TensorFlow is in this process already."""


class NotFiniteError(FNEError, ValueError):
    """NaN or infinity where a finite number is needed."""


class CancelledError(FNEError):
    """A progress function asked to stop."""


class ForkedError(FNEError, RuntimeError):
    """An extractor that was opened before a fork was used in the child."""


class ShapeMismatchError(FNEError, ValueError):
    """Objects or arrays of different feature counts."""


class SavedDataError(FNEError, ValueError):
    """Saved bytes that are damaged or of an unknown version."""


class JobMismatchError(FNEError, ValueError):
    """A job's folder holds a job of another model, other options or other images."""


class JobBusyError(FNEError, RuntimeError):
    """Another process runs the job in this folder."""


class SkippedImagesWarning(UserWarning):
    """Images were left out.

    Attributes:
        indices: their positions in the list of images
        paths: the images themselves, as they were given
        reasons: a sentence for each
    """

    def __init__(self, indices: Sequence[int], paths: Sequence[str], reasons: Sequence[str]) -> None:
        self.indices = list(indices)
        self.paths = list(paths)
        self.reasons = list(reasons)
        shown = "; ".join(self.reasons[:3]) + ("; ..." if len(self.reasons) > 3 else "")
        super().__init__(f"{len(self.indices)} images were skipped, their rows are left out: {shown}")


_CLASSES: dict[int, type[FNEError]] = {
    1: InvalidArgumentError,
    2: InvalidArgumentError,
    3: OutOfMemoryError,
    4: FileError,
    5: ImageError,
    6: ImageError,
    7: ImageError,
    8: GraphError,
    9: UnsafeGraphError,
    10: UnknownTensorError,
    11: TensorError,
    12: BackendUnavailableError,
    13: BackendConflictError,
    14: BackendError,
    15: NotFiniteError,
    16: CancelledError,
    17: ForkedError,
    18: ShapeMismatchError,
    19: SavedDataError,
    21: JobMismatchError,
    22: JobBusyError,
}


def error(status: int, message: str) -> FNEError:
    """The exception for a status of fne.h."""
    result = _CLASSES.get(status, FNEError)(message)
    result.status = status
    return result
