"""What all three stages share: a name, how they are optimised, what their fit found, and how it ends."""

import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.nn import Parameter
from torch.utils.data import DataLoader

from fashion_lsh.training.optimizers import optimizer, warm_cosine


class Stage(pl.LightningModule):
    """A detector, classifier or hash layer, for `fit`.  Subclasses save their hyper-parameters, `epochs` among them."""

    name: str  # prefix of its metrics, and name of its checkpoint
    monitor: str | None = None  # the metric on `val` whose best epoch is kept; None: the last epoch is
    learns = True  # False: nothing is trained, it is settled at once
    facts: Mapping[str, float] = MappingProxyType({})  # what its fit found on `val`, by metric name

    def start(self, weights: str | None) -> str:
        """Fill the weights it starts from (see `load_weights`); tell where they come from."""
        raise NotImplementedError

    def batches(self, data: Any) -> DataLoader[Any]:
        """What it is trained on.  `data`: what gives batches."""
        loader: DataLoader[Any] = data.train_dataloader()
        return loader

    def callbacks(self) -> list[Callback]:
        """What it wants done while it is fitted."""
        return []

    def on_train_epoch_start(self) -> None:
        """Set training mode, in which frozen parts stay in evaluation mode: Lightning keeps whatever mode it finds."""
        self.train()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Dropout and proposals are drawn by seed and epoch, so that a resumed fit goes on exactly.

        Not at the epoch's start: to begin reading a loader draws a number, too, and a resumed fit begins it earlier.
        """
        if batch_idx == 0:
            torch.manual_seed(self.hparams["seed"] * 100_003 + self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Refuse to go on from weights that are no numbers.

        Raises:
            ValueError: the loss of the epoch's last step is NaN or infinite.
        """
        loss = float(self.trainer.callback_metrics[f"{self.name}/train/loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.name}: the loss became {loss} in epoch {self.current_epoch + 1}: lower optim.lr or its factors "
                "(lr_factor, head_factor)"
            )

    def optimizing(self, groups: Iterable[tuple[Iterable[Parameter], float]]) -> OptimizerLRScheduler:
        """How these parameters, each group at its own learning rate, are moved: see Optim."""
        chosen = optimizer(groups, self.hparams["optim"])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = warm_cosine(chosen, steps, self.hparams["optim"]["warmup"])
        return {"optimizer": chosen, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def settle(self, data: Any) -> dict[str, float]:
        """Finish a fit, whose weights are chosen: give the facts to keep.  `data`: what it was fitted on."""
        return {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.facts = checkpoint.get("facts", {})  # one that is being fitted has none yet
