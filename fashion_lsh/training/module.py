"""Base class of the LightningModules: network, optimizer, seeding and a check for non-finite losses."""

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
    """LightningModule with a network.  Subclasses save their hyper-parameters, including `epochs`, `optim` and `seed`.

    Attributes:
        model: the network.
        monitor: metric on `val` that selects the best epoch, by its maximum; None: keep the last epoch.
    """

    model: Any
    monitor: str | None = None

    @property
    def name(self) -> str:
        """Prefix of the metrics and name of the checkpoint."""
        return str(self.model.name)

    def forward(self, *inputs: Any) -> Any:
        """Output of the network."""
        return self.model(*inputs)

    def batches(self, data: Any) -> DataLoader[Any]:
        """DataLoader of training batches from `data`, a data module."""
        loader: DataLoader[Any] = data.train_dataloader()
        return loader

    def callbacks(self) -> list[Callback]:
        """Additional Lightning callbacks."""
        return []

    def post_fit(self, data: Any) -> dict[str, float]:
        """Fit calibration and projections after training on `data`, a data module; return metrics on `val`."""
        return {}

    def on_train_epoch_start(self) -> None:
        """Set training mode, with frozen layers in evaluation mode; Lightning does not change the mode."""
        self.train()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and proposals from seed and epoch, so that a resumed fit equals an uninterrupted one.

        Not in `on_train_epoch_start`: a data loader also draws a random number, and does so earlier in a resumed fit.
        """
        if batch_idx == 0:
            torch.manual_seed(self.hparams["seed"] * 100_003 + self.current_epoch)

    def on_train_epoch_end(self) -> None:
        """Stop the fit if the loss is not finite.

        Raises:
            ValueError: the loss of the last step is NaN or infinite.
        """
        loss = float(self.trainer.callback_metrics[f"{self.name}/train/loss"])
        if not math.isfinite(loss):
            raise ValueError(
                f"{self.name}/train/loss={loss} in epoch {self.current_epoch + 1}: not finite; lower optim.lr, "
                "lr_factor or head_factor"
            )

    def build_optimizer(self, groups: Iterable[tuple[Iterable[Parameter], float]]) -> OptimizerLRScheduler:
        """Build optimizer and schedule for (parameters, learning rate) groups; see Optim."""
        optimizer = create_optimizer(groups, self.hparams["optim"])
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = warmup_cosine_schedule(optimizer, steps, self.hparams["optim"]["warmup"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
