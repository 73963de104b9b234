"""LightningModule of the classifier."""

from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.nn import functional

from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.optimizers import Fraction, Optim


class Classifier(CropModule):
    """Train a ClassifierModel with cross-entropy.

    Args:
        backbone, categories, image_size, margin, frozen: see ClassifierModel.
        epochs: number of epochs.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`.
        head_factor: learning rate of the head, as a multiple of the backbone's learning rate.
        label_smoothing: fraction of the target probability that is spread over all categories.
        optim: see Optim.
        seed: seed of dropout.
    """

    model: ClassifierModel

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        image_size: PositiveInt,
        margin: NonNegativeFloat,
        frozen: bool,
        epochs: PositiveInt,
        lr_factor: PositiveFloat,
        head_factor: PositiveFloat,
        label_smoothing: Fraction,
        optim: Optim,
        seed: int,
    ) -> None:
        super().__init__(ClassifierModel(backbone, categories, image_size, margin, frozen))
        self.save_hyperparameters()

    def compute_loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Cross-entropy with label smoothing, a scalar."""
        return functional.cross_entropy(output.logits, batch.labels, label_smoothing=self.hparams["label_smoothing"])
