"""Train hash stages on cached features, with checkpoints that do not contain the network of the images."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import NonNegativeInt, PositiveInt
from torch import nn

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.features import with_first_features
from fashion_lsh.io.targets import instantiate
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.vector_backbone import VectorBackbone
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.fitting import fit


class FeatureBackbone(VectorBackbone):
    """Identity on cached features, so that checkpoints of a hash stage do not contain the network of the images.

    Args:
        feature_dim: number of features without levels.
        level_dim: number of features of the levels, which follow them.
    """

    def __init__(self, feature_dim: PositiveInt, level_dim: NonNegativeInt) -> None:
        super().__init__(feature_dim)
        self.level_dim = level_dim

    def add_levels(self, image_size: int) -> None:
        """Accept features with levels."""
        self.feature_dim += self.level_dim


class FeatureClassifier(NamedTuple):
    """Classifier of cached features.

    Attributes:
        model: category head of the classifier on a FeatureBackbone.
        options: backbone, categories, image_size and margin, the arguments that hash stages share.
    """

    model: ClassifierModel
    options: dict[str, Any]


def feature_classifier(classifier: CropModel, feature_dim: int) -> FeatureClassifier:
    """Classifier of cached features with the category head of `classifier`.

    feature_dim: number of features with levels.
    """
    base = classifier.backbone.feature_dim
    options: dict[str, Any] = {
               "backbone": _backbone(base, feature_dim - base), "categories": classifier.categories,
               "image_size": classifier.image_size, "margin": classifier.margin}  # fmt: skip
    model = ClassifierModel(**options)
    model.head.load_state_dict(classifier.get_submodule("head").state_dict())
    model.fit_metrics = dict(classifier.fit_metrics)
    return FeatureClassifier(model.to(classifier.device).eval(), options)


def fit_classifier(
    data: GarmentData, settings: Mapping[str, Any], feature_dim: int, **trainer: Any
) -> FeatureClassifier:
    """Train the category head of a frozen backbone on its cached features, in a temporary folder.

    Args:
        data: data with cached features.
        settings: `_target_` and arguments of a config `classifier`; its backbone is replaced.
        feature_dim: number of features without levels.
        trainer: further arguments of `fit`.
    """
    assert data.features is not None
    torch.manual_seed(settings["seed"])
    backbone = _backbone(feature_dim, data.features.matrix.shape[1] - feature_dim)
    stage = instantiate({**settings, "backbone": backbone}, Classifier, categories=data.categories)
    with tempfile.TemporaryDirectory() as folder:
        features = with_first_features(data, feature_dim)
        model: ClassifierModel = fit(stage, features, Path(folder), enable_progress_bar=False, **trainer)
    options = {"backbone": backbone, "categories": data.categories, "image_size": data.image_size,
               "margin": data.margin}  # fmt: skip
    return FeatureClassifier(model, options)


def _backbone(feature_dim: int, level_dim: int) -> dict[str, Any]:
    """Settings of a FeatureBackbone."""
    target = f"{FeatureBackbone.__module__}.{FeatureBackbone.__name__}"
    return {"_target_": target, "feature_dim": feature_dim, "level_dim": level_dim}


def fit_code(
    classifier: FeatureClassifier, data: GarmentData, settings: Mapping[str, Any], bits: int, seed: int,
    folder: Path | None = None, **trainer: Any,
) -> CodeModel:  # fmt: skip
    """Train a hash stage on cached features.

    Args:
        classifier: trained classifier, which the stage starts from.
        data: data with cached features.
        settings: `_target_` and arguments of the stage, of which those in `classifier.options` are replaced.
        bits: code length.
        seed: seed of initial weights and order.
        folder: folder for checkpoints, which are deleted; None: that of the system for temporary files.
        trainer: further arguments of `fit`.

    Raises:
        ValueError: the stage has fewer bits, for example at most one per feature.
    """
    torch.manual_seed(seed)  # initial weights
    stage: Any = instantiate({**settings, **classifier.options, "bits": bits, "seed": seed}, nn.Module)
    stage = stage.start_from(classifier.model)
    network = getattr(stage, "model", stage)
    features = with_first_features(data, network.backbone.feature_dim).replace(seed=seed)
    options = {"accelerator": accelerator_name(classifier.model), **trainer}
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fit-", dir=folder, ignore_cleanup_errors=True) as temporary:
        trained: CodeModel = fit(stage, features, Path(temporary), enable_progress_bar=False, **options)
    return trained


def accelerator_name(model: CropModel) -> str:
    """Lightning's name of the device of a model."""
    return {"cuda": "gpu"}.get(model.device.type, model.device.type)
