"""LightningModule of the hash head."""

import logging
import math
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor
from torch.utils.data import DataLoader

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.index.codes import pack
from fashion_lsh.io.targets import Spec
from fashion_lsh.metrics.code_validation import validation_map
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.models.hash_head import HashHeadModel
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss
from fashion_lsh.training.crop_module import CropModule

log = logging.getLogger(__name__)

CONTRAST_TEMPERATURE = 0.1  # temperature of the contrastive loss between items


class HashHead(CropModule):
    """Train a HashHeadModel with its hash loss and, optionally, a contrastive loss between items.

    The epoch with the highest mAP of the codes on `val` is kept: by item where items have several images in `val`,
    street images among shop images if the data have both views, otherwise by category (see `validation_map`).

    Args:
        backbone, categories, bits: see HashHeadModel.
        item_weight: weight of the contrastive loss on activations and features (see `supervised_contrastive_loss`). If
            above 0, a batch contains two images per item (two views, if the item has a single image).
        epochs: number of epochs.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`; low, since the backbone is trained.
        head_factor: learning rate of hash layer and head, as a multiple of the backbone's learning rate.
        options: loss, bihalf, label_smoothing, embedding_dim, image_size, margin, frozen (see HashHeadModel), optim,
            seed (see TrainingModule).
    """

    network_class = HashHeadModel
    model: HashHeadModel

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        item_weight: NonNegativeFloat = 0.0,
        epochs: PositiveInt = 1,
        lr_factor: PositiveFloat = 0.15,
        head_factor: PositiveFloat = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, head_factor, bits=bits, epochs=epochs, lr_factor=lr_factor, **options)
        self.save_hyperparameters({"item_weight": item_weight})
        self.item_weight = item_weight
        self.monitor = f"{self.name}/val/code_map"
        self.is_query_view: np.ndarray | None = None  # (N,) bool by catalogue row
        self._validation: list[tuple[np.ndarray, ...]] = []  # codes, categories, items and rows of each batch

    def on_fit_start(self) -> None:
        """Check the training data of a Trainer that is used directly, and read the views of its images.

        Raises:
            ValueError: the contrastive loss needs item pairs, but the batches have none.
        """
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, GarmentData):
            return
        if self.item_weight and not data.item_pairs:
            raise ValueError(f"item_weight={self.item_weight}: needs item pairs; pass GarmentData(item_pairs=True)")
        self.is_query_view = data.catalogue.column("view") == "street"

    def train_batches(self, data: GarmentData) -> DataLoader[Any]:
        if self.model.bihalf and data.batch_size < 2:
            raise ValueError(f"data.batch_size={data.batch_size}: too small for hash.bihalf=true; set at least 2")
        self.is_query_view = data.catalogue.column("view") == "street"
        return data.replace(item_pairs=self.item_weight > 0).train_dataloader()

    def on_validation_epoch_start(self) -> None:
        self._validation = []

    def collect_validation(self, output: ModelOutput, batch: Batch) -> None:
        assert output.activations is not None
        codes = pack(output.activations.float().cpu().numpy(), self.model.threshold)
        self._validation.append((codes, *(each.cpu().numpy() for each in (batch.labels, batch.items, batch.rows))))

    def on_validation_epoch_end(self) -> None:
        codes, categories, items, rows = (np.concatenate(parts) for parts in zip(*self._validation, strict=True))
        views = None if self.is_query_view is None else self.is_query_view[rows]
        value = validation_map(codes, categories, items, views).value
        self.log(f"{self.name}/val/code_map", value, prog_bar=True)
        if math.isnan(value) and self.current_epoch == 0 and not self.trainer.sanity_checking:
            log.warning(
                "%s: no category has two images in val, so the mAP of the codes is unknown and the last epoch is kept; "
                "use more images, or set trainer.monitor=val/accuracy",
                self.name,
            )

    def compute_loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Hash loss plus, in training, the weighted contrastive loss between items; a scalar."""
        assert output.activations is not None
        with torch.autocast(self.device.type, enabled=False):  # bfloat16 is too imprecise for cosines
            activations = output.activations.float()
            loss: Tensor = self.model.loss(activations, output.logits.float(), batch.labels)
            if not (self.item_weight and self.training):
                return loss
            activation_contrast = supervised_contrastive_loss(
                activations - self.model.threshold, batch.items, CONTRAST_TEMPERATURE
            )
            return loss + self.item_weight * (
                activation_contrast
                + supervised_contrastive_loss(output.embedding.float(), batch.items, CONTRAST_TEMPERATURE)
            )
