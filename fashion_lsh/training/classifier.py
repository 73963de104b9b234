"""LightningModule of the classifier."""

from typing import Any

from torch import Tensor
from torch.nn import functional

from fashion_lsh.data.dataset import Batch
from fashion_lsh.io.targets import Spec
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.optimizers import Fraction


class Classifier(CropModule):
    """Train a ClassifierModel with cross-entropy.

    Args:
        backbone, categories: see ClassifierModel.
        label_smoothing: fraction of the target probability that is spread over all categories.
        options: image_size, margin, frozen, frozen_blocks (see ClassifierModel), epochs, lr_factor, ema_decay, optim,
            seed (see TrainingModule), head_factor, layer_decay, mixup (see CropModule).
    """

    network_class = ClassifierModel
    model: ClassifierModel

    def __init__(self, backbone: Spec, categories: list[str], label_smoothing: Fraction = 0.1, **options: Any) -> None:
        super().__init__(backbone, categories, **options)
        self.save_hyperparameters({"label_smoothing": label_smoothing})

    def compute_loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Cross-entropy with label smoothing, a scalar."""
        return functional.cross_entropy(output.logits, batch.labels, label_smoothing=self.hparams["label_smoothing"])
