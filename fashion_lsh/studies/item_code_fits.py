"""Train hash stages on cached features for `experiment=item_codes`."""

import shutil
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

    def add_levels(self, image_size: int) -> None:  # noqa: ARG002
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
    target = f"{FeatureBackbone.__module__}.{FeatureBackbone.__name__}"
    options: dict[str, Any] = {
        "backbone": {"_target_": target, "feature_dim": base, "level_dim": feature_dim - base},
        "categories": classifier.categories, "image_size": classifier.image_size, "margin": classifier.margin,
    }  # fmt: skip
    model = ClassifierModel(**options)
    model.head.load_state_dict(classifier.get_submodule("head").state_dict())
    model.fit_metrics = dict(classifier.fit_metrics)
    return FeatureClassifier(model.to(classifier.device).eval(), options)


def fit_code(
    classifier: FeatureClassifier, data: GarmentData, settings: Mapping[str, Any], bits: int, seed: int, folder: Path
) -> CodeModel:
    """Train a hash stage on cached features.

    Args:
        classifier: trained classifier, which the stage starts from.
        data: data with cached features.
        settings: `_target_` and arguments of the stage.
        bits: code length.
        seed: seed of initial weights and order.
        folder: folder for checkpoints, which are deleted.
    """
    torch.manual_seed(seed)  # initial weights
    stage: Any = instantiate(settings, nn.Module, **classifier.options, bits=bits, seed=seed)
    stage = stage.start_from(classifier.model)
    network = getattr(stage, "model", stage)
    features = with_first_features(data, network.backbone.feature_dim).replace(seed=seed)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=".fit-", dir=folder))
    try:
        accelerator = accelerator_name(classifier.model)
        trained: CodeModel = fit(stage, features, temporary, accelerator=accelerator, enable_progress_bar=False)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return trained


def accelerator_name(model: CropModel) -> str:
    """Lightning's name of the device of a model."""
    return {"cuda": "gpu"}.get(model.device.type, model.device.type)
