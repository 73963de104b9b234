"""Base class of the LightningModules: one network, its optimizer, its checks while it is trained."""

import math
from collections.abc import Iterable
from typing import Any

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch.nn import Parameter
from torch.utils.data import DataLoader

from fashion_lsh.training.optimizers import create_optimizer, warmup_cosine_schedule


class TrainingModule(pl.LightningModule):
    """A network and how it is trained.  Subclasses save their hyper-parameters, `epochs` among them.

    Attributes:
        model: the network.
        monitor: metric on `val` whose best epoch is kept; None: the last epoch is.
    """

    model: Any
    monitor: str | None = None

    @property
    def name(self) -> str:
        """Prefix of its metrics, and name of its checkpoint."""
        return str(self.model.name)

    def forward(self, *inputs: Any) -> Any:
        """Output of the network."""
        return self.model(*inputs)

    def batches(self, data: Any) -> DataLoader[Any]:
        """Training batches of `data`, a data module."""
        loader: DataLoader[Any] = data.train_dataloader()
        return loader

    def callbacks(self) -> list[Callback]:
        """Callbacks of its fit."""
        return []

    def post_fit(self, data: Any) -> dict[str, float]:
        """Fit what follows from the trained weights; return metrics on `val`.  `data`: the one it was trained on."""
        return {}

    def on_train_epoch_start(self) -> None:
        """Set training mode, in which frozen parts stay in evaluation mode: Lightning keeps whatever mode it finds."""
        self.train()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and proposals by seed and epoch, so that a resumed fit equals an uninterrupted one.

        Not at the epoch's start: reading a loader draws a number, too, and a resumed fit begins it earlier.
        """
        if batch_idx == 0:
            torch.manual_seed(self.hparams["seed"] * 100_003 + self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Refuse to go on from a loss that is not finite.

        Raises:
            ValueError: the loss of the epoch's last step is NaN or infinite.
        """
        loss = float(self.trainer.callback_metrics[f"{self.name}/train/loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.name}: the loss became {loss} in epoch {self.current_epoch + 1}: lower optim.lr or its factors "
                "(lr_factor, head_factor)"
            )

    def build_optimizer(self, groups: Iterable[tuple[Iterable[Parameter], float]]) -> OptimizerLRScheduler:
        """Optimizer and schedule over groups of parameters, each with its learning rate: see Optim."""
        optimizer = create_optimizer(groups, self.hparams["optim"])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = warmup_cosine_schedule(optimizer, steps, self.hparams["optim"]["warmup"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
