"""Networks with weights. They are frozen GraphDefs or ONNX files in the cache folder.

>>> from fne import Model, zoo
>>> len(Model(zoo.efficientnet_lite0()).layers())  # doctest: +SKIP
49
"""

from fne._cache import cache_folder
from fne.zoo._efficientnet import efficientnet_lite0
from fne.zoo._keras import from_keras, keras_preprocessing
from fne.zoo._pytorch import from_timm, from_torchvision, timm_preprocessing, torchvision_preprocessing
from fne.zoo._samples import sample_images

__all__ = [
    "cache_folder",
    "efficientnet_lite0",
    "from_keras",
    "from_timm",
    "from_torchvision",
    "keras_preprocessing",
    "sample_images",
    "timm_preprocessing",
    "torchvision_preprocessing",
]
