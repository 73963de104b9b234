"""Base class of the LightningModules that train codes: validation by the mAP of the codes, and losses between items."""

import logging
import math
from abc import ABC
from typing import Any, Literal

import numpy as np
import torch
from pydantic import NonNegativeFloat
from torch import Tensor, nn
from torch import distributed as dist
from torch.utils.data import DataLoader

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.index.codes import pack
from fashion_lsh.io.targets import Spec
from fashion_lsh.metrics.code_validation import validation_map
from fashion_lsh.models.code_model import CodeModel
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.models.losses.gather import gather_rows, num_ranks
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss
from fashion_lsh.models.losses.metric_learning import ItemLoss, MetricLearningLoss
from fashion_lsh.training.crop_module import CropModule

log = logging.getLogger(__name__)

CONTRAST_TEMPERATURE = 0.1  # temperature of the contrastive loss between items


class CodeModule(CropModule, ABC):
    """Train a network with codes.

    The epoch with the highest mAP of the codes on `val` is kept: by item where items have several images in `val`,
    street images among shop images if the data have both views, otherwise by category (see `validation_map`).

    Args:
        backbone, categories: see CropModule.
        item_weight: weight of the loss between items. If above 0, a batch contains two images per item (two views, if
            the item has a single image).
        item_loss: loss of pytorch-metric-learning between items; its weights are trained, but are not part of the
            network. None: a contrastive loss (see `supervised_contrastive_loss`).
        negatives: images to which the loss between items compares an image: those of its `category`, or `all`.
        options: see CropModule.

    Raises:
        ValueError: the name, an argument or the miner of `item_loss` is invalid, its vectors are not trained, or it
            cannot be restricted to a category; or `mixup` and `item_weight` are combined.
    """

    model: CodeModel

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        item_weight: NonNegativeFloat = 0.0,
        item_loss: ItemLoss | None = None,
        negatives: Literal["category", "all"] = "all",
        **options: Any,
    ) -> None:
        super().__init__(backbone, categories, **options)
        self.save_hyperparameters({"item_weight": item_weight, "item_loss": item_loss, "negatives": negatives})
        if item_weight and self.hparams["mixup"]:
            raise ValueError(
                f"hash.mixup={self.hparams['mixup']}: a mixed image belongs to two items; set hash.mixup=0, or "
                "hash.item_weight=0"
            )
        self.item_weight, self.negatives = item_weight, negatives
        self.item_loss = item_loss if item_weight else None
        self.metric_loss: MetricLearningLoss | None = None  # created with the classes of the training data
        if self.item_loss:
            self._check_item_loss(self.item_loss)
        self.monitor = f"{self.name}/val/code_map"
        self.is_query_view: np.ndarray | None = None  # (N,) bool by catalogue row
        self._validation: list[tuple[np.ndarray, ...]] = []  # codes, categories, items and rows of each batch

    def _check_item_loss(self, item_loss: ItemLoss) -> None:
        if item_loss.get("vectors") == "embedding" and self.model.frozen:
            raise ValueError("hash.item_loss.vectors=embedding: not trained with a frozen backbone; set vectors=codes")
        if item_loss.get("memory") and self.negatives == "category":
            raise ValueError(
                f"hash.negatives=category, hash.item_loss.memory={item_loss['memory']}: a memory compares vectors of "
                "all categories; set hash.item_loss.memory=null, or hash.negatives=all"
            )
        if item_loss.get("labels") == "category" and self.negatives == "category":
            raise ValueError(
                "hash.negatives=category, hash.item_loss.labels=category: the images of a category are all positives; "
                "set hash.negatives=all"
            )
        # checks the settings before training
        self._needs_classes = self._create_metric_loss(item_loss, np.arange(2)).needs_classes
        if self._needs_classes and self.negatives == "category":
            raise ValueError(
                f"hash.negatives=category, hash.item_loss.name={item_loss['name']}: a loss with weights of all classes "
                "compares all categories; set hash.negatives=all, or a loss of pairs such as MultiSimilarityLoss"
            )

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
            ValueError: the batches or crops are too small, or the loss needs items, but the data have none.
        """
        super().check_data(data)
        if not self.item_loss:
            return
        memory, (key, size) = self.item_loss.get("memory"), self.largest_batch(data)
        if memory is not None and memory < size:
            raise ValueError(f"hash.item_loss.memory={memory}: below {key}={size}; set more")
        train_items = data.catalogue.column("item")[data.catalogue.rows("train")]
        if self._needs_classes and self.needs_item_pairs and (train_items == "").all():
            raise ValueError(
                f"hash.item_loss.labels=item: {self.item_loss['name']} needs items, but the data have none; set "
                "hash.item_loss.labels=category, or add the column item to the data"
            )

    def largest_batch(self, data: GarmentData) -> tuple[str, int]:
        """Config key and number of images of the largest training batch."""
        return "data.batch_size", data.batch_size

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
        value = self.validation_value(codes, categories, items, views)
        self.log(f"{self.name}/val/code_map", value, prog_bar=True)
        is_first = self.current_epoch == 0 and not self.trainer.sanity_checking
        if math.isnan(value) and is_first and self.monitor is not None:
            log.warning(
                "%s: no category has two images in val, so the mAP of the codes is unknown and the last epoch is kept; "
                "use more images, or set trainer.monitor=val/accuracy",
                self.name,
            )

    def validation_value(
        self, codes: np.ndarray, categories: np.ndarray, items: np.ndarray, is_query_view: np.ndarray | None
    ) -> float:
        """Score of the codes of `val` that selects the epoch; arguments as for `validation_map`, NaN if unknown."""
        return validation_map(codes, categories, items, is_query_view).value

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

    def _compute_item_loss(self, codes: Tensor, output: ModelOutput, batch: Batch) -> Tensor:
        """Loss between items of all processes.  codes: (B, bits) float32, positive where a bit is 1 -> scalar."""
        items, labels, codes = gather_rows(batch.items), gather_rows(batch.labels), gather_rows(codes)
        embedding = None if self.model.frozen else gather_rows(output.embedding.float())
        groups = labels if self.negatives == "category" else None
        if self.item_loss is None:
            contrasts = [supervised_contrastive_loss(each, items, CONTRAST_TEMPERATURE, groups)
                         for each in (codes, embedding) if each is not None]  # fmt: skip
            return torch.stack(contrasts).sum()
        if self.metric_loss is None:
            raise ValueError("item_loss: its classes are unknown; pass GarmentData to Trainer.fit, not its loaders")
        vectors = codes if embedding is None or self.item_loss.get("vectors") != "embedding" else embedding
        return self.metric_loss(vectors, items if self.needs_item_pairs else labels, groups)
