"""Gallery of images without labels: codes fitted to a sample of the images, all garments in one inverted list."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.data.catalogue import Catalogue
from fashion_lsh.data.crops import crop_image, to_batch
from fashion_lsh.gallery.gallery import Gallery
from fashion_lsh.gallery.image_encoding import BATCH, open_image_or_error
from fashion_lsh.io.progress import prefetch, progress
from fashion_lsh.io.rows import evenly_spaced
from fashion_lsh.models.baselines import PCA
from fashion_lsh.models.code_model import SAMPLES_PER_AXIS
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import encode_crops

WHOLE_IMAGE = np.full(4, np.nan, np.float32)


def fit_codes(model: PCA, paths: Sequence[str]) -> None:
    """Fit the axes of embedding and codes to the features of evenly spaced images.

    Args:
        model: model with pretrained backbone weights, in evaluation mode.
        paths: image files; unreadable files are ignored.

    Raises:
        ValueError: fewer readable images than bits.
    """
    sample = [paths[row] for row in evenly_spaced(len(paths), SAMPLES_PER_AXIS * model.embedding_length)]
    features = _features(model, sample)
    if len(features) < model.bits:
        raise ValueError(
            f"{len(features)} readable images for codes of {model.bits} bits; pass more images, or set "
            f"hash.bits to at most {len(features)}"
        )
    model.fit_projection(features)


@torch.inference_mode()
def _features(model: PCA, paths: Sequence[str]) -> Tensor:
    """Backbone features of the readable images, (N, feature_dim) float32 on the CPU."""
    parts = [torch.empty(0, model.backbone.feature_dim)]
    with ThreadPoolExecutor() as pool, progress("encoding a sample", len(paths)) as advance:
        for batch in prefetch(pool, open_image_or_error, paths, BATCH):
            crops = [
                crop_image(image, WHOLE_IMAGE, model.margin, model.image_size)
                for image in batch
                if not isinstance(image, str)
            ]
            if crops:
                parts.append(model.features(torch.from_numpy(to_batch(crops)).to(model.device)).cpu())
            advance(len(batch))
    return torch.cat(parts)


def empty_gallery(model: CropModel, store_embeddings: bool = True) -> Gallery:
    """Gallery without garments, to which `updates.add` adds images; `store_embeddings` as in `Gallery.build`."""
    black = np.zeros((model.image_size, model.image_size, 3), np.uint8)
    catalogue = Catalogue.from_columns(dict.fromkeys(("id", "image", "category"), np.empty(0, str)))
    return Gallery.build(model, encode_crops(model, [black]).take(slice(0)), catalogue, store_embeddings)
