"""What can go wrong, as exceptions.

All derive from `FNEError`. Where Python has a built-in exception for the case, they derive from that too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fne._text import printable


class FNEError(Exception):
    """The base of all errors of libfne.

    Attributes:
        status: the number of the error in fne.h; each class has its own
    """

    status: int = 0

    def __str__(self) -> str:
        """The message in one line. Names of files in it may hold anything, and a terminal obeys some of it."""
        return printable(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Programs that pickle exceptions in their own way, such as tblib, look for this in the class.
        return type(self), self.args, self.__dict__


class InvalidArgumentError(FNEError, ValueError):
    """An argument is out of its range."""


class InvalidTypeError(InvalidArgumentError, TypeError):
    """An argument has a type that is not taken."""


class NotInstalledError(FNEError, ModuleNotFoundError):
    """A part that is needed is not installed. The message says how to get it."""


class OutOfMemoryError(FNEError, MemoryError):
    """The system gave no memory."""


class FileError(FNEError, OSError):
    """A file is missing, is a folder, is empty, or cannot be read or written."""


class FileSystemError(FileError):
    """The system failed over a file: a disk, a share in the network, too many open files. The file itself may be good.

    It is no error of an image: it ends a call or a run also where bad images are skipped. Mend the cause and try again.
    """


class MissingFileError(FileError, FileNotFoundError):
    """A file is missing."""


class ImageError(FNEError, ValueError):
    """An image cannot be read."""


class UnsupportedImageError(ImageError):
    """The image has a format that cannot be read. libfne reads JPEG and PNG; Pillow, if installed, reads more."""


class DamagedImageError(ImageError):
    """The image is truncated or corrupt."""


class ImageLimitError(ImageError):
    """The image is beyond the limits of `fne.ImageOptions`."""


class GraphError(FNEError, ValueError):
    """The model is not a TensorFlow GraphDef, or is a damaged one."""


class UnsafeGraphError(GraphError):
    """The graph holds an operation that is not on the list of those that only compute."""


class TensorError(FNEError, ValueError):
    """A tensor has a rank, type or layout that cannot be embedded."""


class UnknownTensorError(TensorError):
    """There is no such tensor or layer. The message lists the nearest names."""


class BackendError(FNEError, RuntimeError):
    """TensorFlow refused or failed."""


class BackendUnavailableError(BackendError):
    """TensorFlow's library was not found. The message lists the paths that were tried."""


class BackendConflictError(BackendError):
    """Another copy of TensorFlow is in this process already."""


class NotFiniteError(FNEError, ValueError):
    """A number is NaN or infinite where a finite one is needed."""


class CancelledError(FNEError):
    """A progress function asked to stop."""


class ForkedError(FNEError, RuntimeError):
    """TensorFlow was loaded before a fork, and was needed in the child."""


class ShapeMismatchError(FNEError, ValueError):
    """Objects or arrays have different feature counts."""


class SavedDataError(FNEError, ValueError):
    """Saved bytes are damaged, or have an unknown version."""


class JobMismatchError(FNEError, ValueError):
    """A job's folder holds a job of another model, other options or other images."""


class JobBusyError(FNEError, RuntimeError):
    """Another process runs the job in this folder."""


class SkippedImagesWarning(UserWarning):
    """Images were left out.

    Attributes:
        indices: their positions in the list of images
        paths: the images themselves, as they were given
        reasons: for each image a sentence that says why
    """

    def __init__(self, indices: Sequence[int], paths: Sequence[str], reasons: Sequence[str]) -> None:
        self.indices = list(indices)
        self.paths = list(paths)
        self.reasons = list(reasons)
        shown = "; ".join(self.reasons[:3]) + ("; ..." if len(self.reasons) > 3 else "")
        super().__init__(printable(f"{len(self.indices)} images were skipped and have no row: {shown}"))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.indices, self.paths, self.reasons)


class BatchStatisticsWarning(UserWarning):
    """A row depends on the other images of its batch, as with batch normalization in training mode."""


class PreprocessingWarning(UserWarning):
    """Nothing says which numbers a network expects, or what says it cannot be taken as it is."""


class JobWarning(UserWarning):
    """A job found damage and made it good, images that have changed, or folders and files that cannot be read."""


class FewImagesWarning(UserWarning):
    """Codes were made by statistics of fewer than 10 images.

    Attributes:
        count: of how many images
    """

    def __init__(self, count: int) -> None:
        self.count = count
        super().__init__(
            f"the codes are made by statistics of {count} images only, and say little: of two images they are "
            "opposites, of one all are 0. Embed more images, or give statistics of others"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.count,)


#: The numbers of fne.h. A class with several numbers has the first of them as its own.
_CLASSES: dict[int, type[FNEError]] = {
    1: InvalidArgumentError,
    2: InvalidArgumentError,
    3: OutOfMemoryError,
    4: FileError,
    5: UnsupportedImageError,
    6: DamagedImageError,
    7: ImageLimitError,
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
    23: FileSystemError,
}

for _number, _class in reversed(_CLASSES.items()):
    _class.status = _number


def from_status(status: int, message: str) -> FNEError:
    """The exception for a status that the library gave."""
    result = _CLASSES.get(status, FNEError)(message)
    result.status = status
    return result


def reworded(failure: FNEError, message: str) -> FNEError:
    """The same error with another message."""
    return from_status(failure.status, message)
