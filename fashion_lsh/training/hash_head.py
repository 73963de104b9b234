"""LightningModule of the hash head."""

from typing import Any

import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.io.targets import Spec
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.models.hash_head import HashHeadModel
from fashion_lsh.models.losses.gather import gather_rows
from fashion_lsh.training.code_module import CodeModule


class HashHead(CodeModule):
    """Train a HashHeadModel with its hash loss and, optionally, a loss between items.

    Args:
        backbone, categories, bits: see HashHeadModel.
        epochs: number of epochs.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`; low, since the backbone is trained.
        head_factor: learning rate of hash layer and head, as a multiple of the backbone's learning rate.
        options: loss, bihalf, label_smoothing, levels, embedding, embedding_dim, image_size, margin, frozen,
            frozen_blocks (see HashHeadModel), item_weight, item_loss, negatives (see CodeModule), layer_decay, mixup
            (see CropModule), ema_decay, optim, seed (see TrainingModule).

    Raises:
        ValueError: see CodeModule.
    """

    network_class = HashHeadModel
    model: HashHeadModel

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        epochs: PositiveInt = 1,
        lr_factor: PositiveFloat = 0.15,
        head_factor: PositiveFloat = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(
            backbone, categories, bits=bits, epochs=epochs, lr_factor=lr_factor, head_factor=head_factor, **options
        )

    def check_data(self, data: GarmentData) -> None:
        super().check_data(data)
        if self.model.bihalf and data.batch_size < 2:
            raise ValueError(f"data.batch_size={data.batch_size}: too small for hash.bihalf=true; set at least 2")

    def compute_loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Hash loss plus, in training, the weighted loss between items; a scalar."""
        assert output.activations is not None
        with torch.autocast(self.device.type, enabled=False):  # bfloat16 is too imprecise for cosines
            activations, logits = output.activations.float(), output.logits.float()
            if self.model.loss.compares_rows and self.training:
                loss: Tensor = self.model.loss(*map(gather_rows, (activations, logits, batch.labels)))
            else:
                loss = self.model.loss(activations, logits, batch.labels)
            if not (self.item_weight and self.training):
                return loss
            return loss + self.item_weight * self._compute_item_loss(activations - self.model.threshold, output, batch)
