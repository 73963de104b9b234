"""LightningModule of the hash head."""

import logging
import math
from typing import Any

import numpy as np
import torch
from pydantic import NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.data import DataLoader

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.index.codes import pack
from fashion_lsh.io.targets import Spec
from fashion_lsh.metrics.code_validation import validation_map
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.models.hash_head import HashHeadModel
from fashion_lsh.models.losses.gather import gather_rows, num_ranks
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss
from fashion_lsh.models.losses.metric_learning import ItemLoss, MetricLearningLoss
from fashion_lsh.training.crop_module import CropModule

log = logging.getLogger(__name__)

CONTRAST_TEMPERATURE = 0.1  # temperature of the contrastive loss between items


class HashHead(CropModule):
    """Train a HashHeadModel with its hash loss and, optionally, a loss between items.

    The epoch with the highest mAP of the codes on `val` is kept: by item where items have several images in `val`,
    street images among shop images if the data have both views, otherwise by category (see `validation_map`).

    Args:
        backbone, categories, bits: see HashHeadModel.
        item_weight: weight of the loss between items. If above 0, a batch contains two images per item (two views, if
            the item has a single image).
        item_loss: loss of pytorch-metric-learning between items; its weights are trained, but are not part of the
            network. None: a contrastive loss on activations and on features (see `supervised_contrastive_loss`).
        epochs: number of epochs.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`; low, since the backbone is trained.
        head_factor: learning rate of hash layer and head, as a multiple of the backbone's learning rate.
        options: loss, bihalf, label_smoothing, embedding_dim, image_size, margin, frozen, frozen_blocks (see
            HashHeadModel), layer_decay, mixup (see CropModule), ema_decay, optim, seed (see TrainingModule).

    Raises:
        ValueError: the name, an argument or the miner of `item_loss` is invalid, or its vectors are not trained; or
            `mixup` and `item_weight` are combined.
    """

    network_class = HashHeadModel
    model: HashHeadModel

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        item_weight: NonNegativeFloat = 0.0,
        item_loss: ItemLoss | None = None,
        epochs: PositiveInt = 1,
        lr_factor: PositiveFloat = 0.15,
        head_factor: PositiveFloat = 10.0,
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, head_factor, bits=bits, epochs=epochs, lr_factor=lr_factor, **options)
        self.save_hyperparameters({"item_weight": item_weight, "item_loss": item_loss})
        if item_weight and self.hparams["mixup"]:
            raise ValueError(
                f"hash.mixup={self.hparams['mixup']}: a mixed image belongs to two items; set hash.mixup=0, or "
                "hash.item_weight=0"
            )
        self.item_weight = item_weight
        self.item_loss = item_loss if item_weight else None
        self.metric_loss: MetricLearningLoss | None = None  # created with the classes of the training data
        if self.item_loss:
            if self.item_loss.get("vectors") == "embedding" and self.model.frozen:
                raise ValueError(
                    "hash.item_loss.vectors=embedding: not trained with a frozen backbone; set vectors=codes"
                )
            # checks the settings before training
            self._needs_classes = self._create_metric_loss(self.item_loss, np.arange(2)).needs_classes
        self.monitor = f"{self.name}/val/code_map"
        self.is_query_view: np.ndarray | None = None  # (N,) bool by catalogue row
        self._validation: list[tuple[np.ndarray, ...]] = []  # codes, categories, items and rows of each batch

    @property
    def needs_item_pairs(self) -> bool:
        """True if the training batches must contain two images of each item."""
        by_category = self.item_loss is not None and self.item_loss.get("labels") == "category"
        return self.item_weight > 0 and not by_category

    def setup(self, stage: str) -> None:
        """Prepare the training on the data of a Trainer that is used directly (see `prepare`)."""
        data = getattr(self.trainer, "datamodule", None)
        if stage == "fit" and isinstance(data, GarmentData):
            self.prepare(data)

    def on_fit_start(self) -> None:
        """Check the training data of a Trainer that is used directly.

        Raises:
            ValueError: the loss between items needs item pairs, but the batches have none.
        """
        super().on_fit_start()
        data = getattr(self.trainer, "datamodule", None)
        if isinstance(data, GarmentData) and self.needs_item_pairs and not data.item_pairs:
            raise ValueError(f"item_weight={self.item_weight}: needs item pairs; pass GarmentData(item_pairs=True)")

    def train_batches(self, data: GarmentData) -> DataLoader[Any]:
        self.prepare(data)
        return data.replace(item_pairs=self.needs_item_pairs).train_dataloader()

    def prepare(self, data: GarmentData) -> None:
        """Read the views of the images, and create the loss between items for the classes of the training data."""
        self.check_data(data)
        self.is_query_view = data.catalogue.column("view") == "street"
        if self.item_loss:
            labels = data.items if self.needs_item_pairs else data.labels
            self.metric_loss = self._create_metric_loss(self.item_loss, np.unique(labels[data.rows("train")]))

    def check_data(self, data: GarmentData) -> None:
        """Check the training data against the losses.

        Raises:
            ValueError: the batches are too small, or the loss needs items, but the data have none.
        """
        if self.model.bihalf and data.batch_size < 2:
            raise ValueError(f"data.batch_size={data.batch_size}: too small for hash.bihalf=true; set at least 2")
        if not self.item_loss:
            return
        memory = self.item_loss.get("memory")
        if memory is not None and memory < data.batch_size:
            raise ValueError(f"hash.item_loss.memory={memory}: below data.batch_size={data.batch_size}; set more")
        train_items = data.catalogue.column("item")[data.catalogue.rows("train")]
        if self._needs_classes and self.needs_item_pairs and (train_items == "").all():
            raise ValueError(
                f"hash.item_loss.labels=item: {self.item_loss['name']} needs items, but the data have none; set "
                "hash.item_loss.labels=category, or add the column item to the data"
            )

    def _create_metric_loss(self, item_loss: ItemLoss, classes: np.ndarray) -> MetricLearningLoss:
        """Create the loss between items with initial weights.  classes: (N,) int64, ascending and unique."""
        size = self.model.backbone.feature_dim if item_loss.get("vectors") == "embedding" else self.model.bits
        return MetricLearningLoss(item_loss, size, torch.from_numpy(classes), self.hparams["seed"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Ignore the weights of the loss between items if the checkpoint is not opened for training."""
        if self.metric_loss is None:
            for name in [each for each in checkpoint["state_dict"] if each.startswith("metric_loss.")]:
                del checkpoint["state_dict"][name]

    def head_parameters(self) -> list[nn.Parameter]:
        return [*super().head_parameters(), *(self.metric_loss.parameters() if self.metric_loss else [])]

    def on_validation_epoch_start(self) -> None:
        self._validation = []

    def collect_validation(self, output: ModelOutput, batch: Batch) -> None:
        assert output.activations is not None
        codes = pack(output.activations.float().cpu().numpy(), self.model.threshold)
        self._validation.append((codes, *(each.cpu().numpy() for each in (batch.labels, batch.items, batch.rows))))

    def on_validation_epoch_end(self) -> None:
        codes, categories, items, rows = self._validation_arrays()
        views = None if self.is_query_view is None else self.is_query_view[rows]
        value = validation_map(codes, categories, items, views).value
        self.log(f"{self.name}/val/code_map", value, prog_bar=True)
        if math.isnan(value) and self.current_epoch == 0 and not self.trainer.sanity_checking:
            log.warning(
                "%s: no category has two images in val, so the mAP of the codes is unknown and the last epoch is kept; "
                "use more images, or set trainer.monitor=val/accuracy",
                self.name,
            )

    def _validation_arrays(self) -> list[np.ndarray]:
        """Codes, categories, items and rows of all processes, in the order of the rows if there are several."""
        arrays = [np.concatenate(parts) for parts in zip(*self._validation, strict=True)]
        if num_ranks() == 1:
            return arrays
        gathered: list[Any] = [None] * num_ranks()
        dist.all_gather_object(gathered, arrays)
        arrays = [np.concatenate(parts) for parts in zip(*gathered, strict=True)]
        order = np.argsort(arrays[-1], kind="stable")
        return [array[order] for array in arrays]

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

    def _compute_item_loss(self, codes: Tensor, output: ModelOutput, batch: Batch) -> Tensor:
        """Loss between items of all processes.  codes: (B, bits) float32, positive where a bit is 1 -> scalar."""
        embedding, codes = gather_rows(output.embedding.float()), gather_rows(codes)
        items, labels = gather_rows(batch.items), gather_rows(batch.labels)
        if self.item_loss is None:
            contrasts = [supervised_contrastive_loss(each, items, CONTRAST_TEMPERATURE)
                         for each in (codes, embedding)]  # fmt: skip
            return contrasts[0] + contrasts[1]
        if self.metric_loss is None:
            raise ValueError("item_loss: its classes are unknown; pass GarmentData to Trainer.fit, not its loaders")
        vectors = embedding if self.item_loss.get("vectors") == "embedding" else codes
        return self.metric_loss(vectors, items if self.needs_item_pairs else labels)
