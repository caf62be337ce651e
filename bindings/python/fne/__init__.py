"""The Full-Network Embedding of images (FNE).

It makes an embedding of a pre-trained CNN, without any training: the activations of all convolutional and dense layers
are taken, the convolutional ones are averaged over space, and each feature is standardized over a data set and
discretized to -1, 0 or 1 (Garcia-Gasulla et al., ICBK 2018, arXiv:1705.07706).

>>> from fne import full_network_embedding
>>> features, stats = full_network_embedding(graph, paths, 16, "input:0", None, (224, 224))  # doctest: +SKIP

Importing this package imports neither TensorFlow nor any other framework.
"""

from fne import compact, zoo
from fne._backend import backend_info, load_backend
from fne._codes import PackedCodes
from fne._embedding import SKIPPED_CODE, l2_normalize, standardize, ternarize
from fne._evaluation.evaluate import evaluate
from fne._evaluation.result import Evaluation
from fne._evaluation.retrieval import Retrieval, evaluate_retrieval
from fne._evaluation.thresholds import threshold_study
from fne._export import export_job, samples
from fne._extractor import Extractor
from fne._images import ImageOptions, image_info, read_image, resize
from fne._intake import Changes, Intake, list_images
from fne._job import Job, embed_dataset, merge_shards
from fne._layer import Layer
from fne._library import build_info, library_path, set_log_callback
from fne._model import Model, ModelInput, TensorInfo
from fne._outcome import Embedding, Extraction, Outcome
from fne._places import Places
from fne._prepared import clear_prepared
from fne._preprocessing import Preprocessing
from fne._progress import ProgressLine
from fne._statistics import Statistics
from fne.errors import (
    BackendConflictError,
    BackendError,
    BackendUnavailableError,
    BatchStatisticsWarning,
    CancelledError,
    FewImagesWarning,
    FileError,
    FileSystemError,
    FNEError,
    ForkedError,
    GraphError,
    ImageError,
    InvalidArgumentError,
    JobBusyError,
    JobMismatchError,
    JobWarning,
    NotFiniteError,
    PreprocessingWarning,
    ShapeMismatchError,
    SkippedImagesWarning,
    TensorError,
    UnknownTensorError,
    UnsafeGraphError,
)
from fne.fne import full_network_embedding

__version__ = "2.0.0"

__all__ = [
    "SKIPPED_CODE",
    "BackendConflictError",
    "BackendError",
    "BackendUnavailableError",
    "BatchStatisticsWarning",
    "CancelledError",
    "Changes",
    "Embedding",
    "Evaluation",
    "Extraction",
    "Extractor",
    "FNEError",
    "FewImagesWarning",
    "FileError",
    "FileSystemError",
    "ForkedError",
    "GraphError",
    "ImageError",
    "ImageOptions",
    "Intake",
    "InvalidArgumentError",
    "Job",
    "JobBusyError",
    "JobMismatchError",
    "JobWarning",
    "Layer",
    "Model",
    "ModelInput",
    "NotFiniteError",
    "Outcome",
    "PackedCodes",
    "Places",
    "Preprocessing",
    "PreprocessingWarning",
    "ProgressLine",
    "Retrieval",
    "ShapeMismatchError",
    "SkippedImagesWarning",
    "Statistics",
    "TensorError",
    "TensorInfo",
    "UnknownTensorError",
    "UnsafeGraphError",
    "backend_info",
    "build_info",
    "clear_prepared",
    "compact",
    "embed_dataset",
    "evaluate",
    "evaluate_retrieval",
    "export_job",
    "full_network_embedding",
    "image_info",
    "l2_normalize",
    "library_path",
    "list_images",
    "load_backend",
    "merge_shards",
    "read_image",
    "resize",
    "samples",
    "set_log_callback",
    "standardize",
    "ternarize",
    "threshold_study",
    "zoo",
]
