"""LightningModule of item codes: codes that distinguish the items of a category."""

import logging
from typing import Any, Literal

import numpy as np
import torch
from pydantic import PositiveFloat, PositiveInt
from torch import Tensor
from torch.utils.data import DataLoader

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.data.loaders import check_item_pairs
from fashion_lsh.io.targets import Spec
from fashion_lsh.metrics.code_validation import validation_map
from fashion_lsh.models.crop_model import ModelOutput
from fashion_lsh.models.item_codes import ItemCodeModel
from fashion_lsh.training.code_module import CodeModule

log = logging.getLogger(__name__)


class ItemContrast(CodeModule):
    """Train the projection of an ItemCodeModel with a loss between items; the classifier does not change.

    The inverted list of a garment is that of its category, so the code need not contain the category: by default, an
    image is compared only with images of its own category. The epoch with the highest item mAP of the codes within the
    category on `val` is kept, or the last one if `val` has too few images of one item (see `validation_map`);
    `trainer.monitor` does not apply. Without items, two views of each image are compared.

    Args:
        backbone, categories, bits: see ItemCodeModel.
        prefixes: lengths of prefixes of the code that are codes themselves: the loss is the mean of those of the whole
            code and of each prefix (nested training; A. Kusupati et al.: Matryoshka Representation Learning, NeurIPS
            2022, equation 1).
        negatives, item_loss: see CodeModule.
        batch_size: number of images per batch of features; `data.batch_size` applies to batches of images.
        epochs, lr_factor, head_factor: see HashHead.
        options: projection, levels, embedding, embedding_dim, image_size, margin (see ItemCodeModel), ema_decay, optim,
            seed (see TrainingModule).

    Raises:
        ValueError: a prefix is not shorter than the code, or the loss between items has one length; see CodeModule.
    """

    network_class = ItemCodeModel
    fixed_arguments = ("item_weight", "mixup", "layer_decay", "frozen", "frozen_blocks")
    trains_on_features = True  # the features are computed once, after the classifier has been trained
    model: ItemCodeModel

    def __init__(
        self,
        backbone: Spec,
        categories: list[str],
        bits: int = 48,
        prefixes: list[PositiveInt] | None = None,
        negatives: Literal["category", "all"] = "category",
        batch_size: PositiveInt = 1024,
        epochs: PositiveInt = 30,
        lr_factor: PositiveFloat = 1.0,
        head_factor: PositiveFloat = 1.0,
        **options: Any,
    ) -> None:
        options |= {"bits": bits, "epochs": epochs, "lr_factor": lr_factor, "head_factor": head_factor}
        super().__init__(backbone, categories, item_weight=1.0, negatives=negatives, **options)
        self.save_hyperparameters({"prefixes": prefixes, "batch_size": batch_size})
        del self.hparams["item_weight"]  # not an argument of this class
        if prefixes and (max(prefixes) >= bits or len(set(prefixes)) < len(prefixes)):
            raise ValueError(
                f"hash.prefixes={prefixes}: a prefix is shorter than the code; set different lengths below "
                f"hash.bits={bits}"
            )
        if prefixes and self.item_loss and (self._needs_classes or self.item_loss.get("memory")):
            raise ValueError(
                f"hash.prefixes={prefixes}, hash.item_loss.name={self.item_loss['name']}: weights of classes and "
                "memories have one length; set hash.prefixes=null, or a loss of pairs without memory"
            )
        self.lengths = [*(prefixes or []), bits]

    def prepare(self, data: GarmentData) -> None:
        super().prepare(data)
        rows, metric = data.rows("val"), f"{self.name}/val/code_map"
        assert self.is_query_view is not None
        arrays = np.zeros((len(rows), 1), np.uint8), data.labels[rows], data.items[rows], self.is_query_view[rows]
        has_items = validation_map(*arrays).relevance == "item"
        if self.monitor not in (None, metric):
            log.info("%s: trainer.monitor does not apply to item codes; %s selects the epoch", self.name,
                     metric if has_items else "no metric of val, which has too few items,")  # fmt: skip
        self.monitor, self.monitor_mode = (metric if has_items else None), "max"

    def check_data(self, data: GarmentData) -> None:
        super().check_data(data)
        check_item_pairs(data, self.hparams["batch_size"], "hash.batch_size")

    def largest_batch(self, data: GarmentData) -> tuple[str, int]:
        return "hash.batch_size", max(self.hparams["batch_size"], data.batch_size)

    def train_batches(self, data: GarmentData) -> DataLoader[Any]:
        return super().train_batches(
            data if data.features is None else data.replace(batch_size=self.hparams["batch_size"])
        )

    def compute_loss(self, output: ModelOutput, batch: Batch) -> Tensor:
        """Mean of the losses between items of the code and of its prefixes, a scalar."""
        assert output.activations is not None
        with torch.autocast(self.device.type, enabled=False):  # bfloat16 is too imprecise for cosines
            activations = output.activations.float()
            losses = [self._compute_item_loss(activations[:, :length], output, batch) for length in self.lengths]
            return torch.stack(losses).mean()

    def validation_value(
        self, codes: np.ndarray, categories: np.ndarray, items: np.ndarray, is_query_view: np.ndarray | None
    ) -> float:
        """Item mAP of the codes of `val` among the images of their category; NaN without items."""
        score = validation_map(codes, categories, items, is_query_view, within_category=True)
        return score.value if score.relevance == "item" else float("nan")
