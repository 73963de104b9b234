"""Queries and gallery of `experiment=item_codes` as features: items of the data, or two views of each image."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.loaders import build_image_loader, build_row_loader
from fashion_lsh.metrics.retrieval import Relevance
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.descriptors import DESCRIPTORS

VIEWS = (1_000_001, 1_000_002)  # epochs of the augmentation of the two views of an image, which training does not use
NUM_TRAIN = 2048  # number of training images to which quantisers are fitted


@dataclass(frozen=True)
class EncodedRows:
    """Features and labels of images.

    Attributes:
        features: (n, feature_dim) float32 backbone features, with levels.
        items: (n,) int64 items.
        categories: (n,) int64 categories.
        descriptors: name -> (n, d) float32; empty without images.
    """

    features: Tensor
    items: np.ndarray
    categories: np.ndarray
    descriptors: dict[str, np.ndarray]


@dataclass(frozen=True)
class ItemSearch:
    """Queries and gallery.

    Attributes:
        query, gallery: encoded images.
        train: (n, feature_dim) float32 features of evenly spaced training images, at most NUM_TRAIN.
        are_views: whether the items are two augmented views of one image.
    """

    query: EncodedRows
    gallery: EncodedRows
    train: Tensor
    are_views: bool

    def digest(self) -> str:
        """Hash of features and labels, 64 hex digits."""
        parts = [part for each in (self.query, self.gallery) for part in (each.features, each.items, each.categories)]
        digest = hashlib.sha256()
        for part in (*parts, self.train):
            digest.update(np.ascontiguousarray(part).tobytes())
        return digest.hexdigest()

    def relevance(self) -> dict[str, Relevance]:
        """Relevance by `item` and by `category`."""
        return {
            "item": Relevance(self.query.items, self.gallery.items),
            "category": Relevance(self.query.categories, self.gallery.categories),
        }


def encode_item_search(model: CropModel, data: GarmentData) -> ItemSearch:
    """Encode queries and gallery.

    Without items that queries and gallery share, the queries are one augmented view of each query image, and the
    gallery contains another view of it beside the gallery of the data.

    Args:
        model: network that computes the features.
        data: data with images or with features of `model`.

    Raises:
        ValueError: the data have neither shared items nor images.
    """
    rows = {split: data.rows(split) for split in ("query", "gallery")}
    evenly_spaced = data.rows("train")[:: -(-len(data.rows("train")) // NUM_TRAIN)]
    train = _encode(model, data, evenly_spaced).features
    if np.isin(data.items[rows["query"]], data.items[rows["gallery"]]).any():
        query, gallery = (_encode(model, data, rows[split]) for split in ("query", "gallery"))
        return ItemSearch(query, gallery, train, are_views=False)
    if not data.has_images:
        raise ValueError("experiment=item_codes: the queries share no item with the gallery, and vectors have no views")
    query, view = (_encode(model, data, rows["query"], epoch) for epoch in VIEWS)
    others = _encode(model, data, np.setdiff1d(rows["gallery"], rows["query"]))
    gallery = EncodedRows(
        torch.cat([view.features, others.features]),
        np.concatenate([view.items, others.items]),
        np.concatenate([view.categories, others.categories]),
        {name: np.concatenate([view.descriptors[name], others.descriptors[name]]) for name in DESCRIPTORS},
    )
    return ItemSearch(query, gallery, train, are_views=True)


@torch.inference_mode()
def _encode(model: CropModel, data: GarmentData, rows: np.ndarray, epoch: int | None = None) -> EncodedRows:
    """Encode catalogue rows, with the augmentation of `epoch` if it is given."""
    model.eval()
    if data.features is not None and epoch is None:
        features = [model.features(batch.images.to(model.device)).cpu() for batch in build_row_loader(data, rows)]
        descriptors = data.features.take_descriptors(rows)
    else:
        features, parts = [], []
        for batch in build_image_loader(data, rows, epoch):
            features.append(model.features(batch.images.to(model.device)).cpu())
            parts.append({name: compute(batch.images).numpy() for name, compute in DESCRIPTORS.items()})
        descriptors = {name: np.concatenate([part[name] for part in parts]) for name in DESCRIPTORS}
    return EncodedRows(torch.cat(features), data.items[rows], data.labels[rows], descriptors)
