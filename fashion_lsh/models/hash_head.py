"""Stage three: a crop as a binary code."""

from typing import Any, Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch.utils.data import DataLoader

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.code_model import Coder
from fashion_lsh.models.crop_model import Answer
from fashion_lsh.models.losses.hash_losses import LOSSES, Halves, signs
from fashion_lsh.models.losses.item_contrast import contrast
from fashion_lsh.training.optimizers import Optim, Share

TEMPERATURE = 0.1  # of the contrast between items


class Hasher(Coder):
    """Backbone, hash layer and category head: linear -> activations -> linear, with one of LOSSES.

    Args:
        backbone: one of BACKBONES.
        categories: names of the categories, in the order of the labels.
        bits: length of a code.
        embedding_dim: length of the embedding at most (see Coder).
        image_size, margin: the crops it sees (see CropStage).
        frozen: the backbone stays as it starts (see CropStage).
        loss: what the hash layer learns from, one of LOSSES; `softmax` is the thesis's.
        bihalf: split each bit of a batch in halves (see Halves), whatever the loss; codes are then signs at once.
        item_weight: of a contrast between items, on activations and on features (see `contrast`): batches then hold
            two pictures of each item, or two views of its only one, and the last epoch is kept, since the best for
            categories is seldom that for items; 0: categories alone are learnt.
        epochs: passes over the training pictures.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`.
        head_factor: learning rate of hash layer and head, as a multiple of the backbone's.
        label_smoothing: mass of each label that is spread over all categories.
        optim: see Optim.
        seed: what dropout is drawn by.

    Raises:
        ValueError: fewer than one bit, or too few for the loss to tell the categories apart.
    """

    def __init__(
        self,
        backbone: str,
        categories: list[str],
        bits: int,
        embedding_dim: PositiveInt | None,
        image_size: PositiveInt,
        margin: NonNegativeFloat,
        frozen: bool,
        loss: Literal["softmax", "ssdh", "greedyhash", "csq", "orthohash"],
        bihalf: bool,
        item_weight: NonNegativeFloat,
        epochs: PositiveInt,
        lr_factor: PositiveFloat,
        head_factor: PositiveFloat,
        label_smoothing: Share,
        optim: Optim,
        seed: int,
    ) -> None:
        super().__init__(backbone, categories, bits, embedding_dim, image_size, margin, frozen)
        self.save_hyperparameters()
        self.bihalf, self.item_weight = bihalf, item_weight
        self.hash_layer = nn.Linear(self.backbone.feature_dim, bits)
        self.head = nn.Linear(bits, len(categories))
        self.loss = LOSSES[loss](bits, len(categories), label_smoothing)
        self.threshold = self.loss.threshold
        if item_weight:
            self.monitor = None

    def head_parameters(self) -> list[nn.Parameter]:
        return [*self.hash_layer.parameters(), *self.head.parameters(), *self.loss.parameters()]

    def answer(self, features: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.hash_layer(features)
        if self.bihalf:
            outputs = Halves.apply(outputs) if self.training else signs(outputs)
        activations = self.loss.activate(outputs)
        return self.head(self.loss.read(activations)), activations

    def batches(self, data: GarmentData) -> DataLoader[Any]:
        if self.bihalf and data.batch_size < 2:
            raise ValueError(f"data.batch_size={data.batch_size}: hash.bihalf=true halves batches; give at least 2")
        return data.train_dataloader(pairs=self.item_weight > 0)

    def loss_of(self, answer: Answer, batch: Batch) -> Tensor:
        assert answer.activations is not None
        with torch.autocast(self.device.type, enabled=False):  # cosines lose too much in mixed precision
            activations = answer.activations.float()
            loss: Tensor = self.loss(activations, answer.logits.float(), batch.labels)
            if not (self.item_weight and self.training):
                return loss
            relaxed = contrast(activations - self.threshold, batch.items, TEMPERATURE)
            return loss + self.item_weight * (relaxed + contrast(answer.embedding.float(), batch.items, TEMPERATURE))
