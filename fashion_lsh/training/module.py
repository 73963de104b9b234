"""Base class of all LightningModules: network, optimizer, seeding and a check for non-finite losses."""

import math
from collections.abc import Iterable
from typing import Annotated, Any, Literal

import pytorch_lightning as pl
import torch
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt
from pytorch_lightning.callbacks import Callback
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import nn
from torch.nn import Parameter
from torch.utils.data import DataLoader

from fashion_lsh.io.targets import with_defaults
from fashion_lsh.training.callbacks import AveragedWeights
from fashion_lsh.training.optimizers import ADAMW, Optim, create_optimizer, warmup_cosine_schedule

RANK_SEED = 2_654_435_761  # 2**32 / golden ratio: distant seeds, of which torch uses 32 bits on the CPU


class NonFiniteLossError(ValueError):
    """The training loss is NaN or infinite."""


class TrainingModule(pl.LightningModule):
    """LightningModule with a network.

    Args:
        epochs: number of epochs.
        lr_factor: learning rate of the backbone, as a multiple of `optim.lr`.
        ema_decay: decay per step of the exponential moving average of the weights, which is validated and saved instead
            of the weights of the last step; 0 to disable averaging.
        optim: see Optim.
        seed: seed of all random draws during training, such as dropout.
        network: arguments of `network_class`.

    Attributes:
        network_class: class of the network.
        model: network to train.
        monitor: metric that selects the epoch that is kept; None to keep the last epoch.
        monitor_mode: whether the best value of `monitor` is the maximum or the minimum.
        validates: whether metrics on `val` are logged after each epoch.
    """

    network_class: type[nn.Module]
    model: Any
    monitor: str | None = None
    monitor_mode: Literal["max", "min"] = "max"
    validates = True

    def __init__(
        self,
        epochs: PositiveInt = 3,
        lr_factor: PositiveFloat = 1.0,
        ema_decay: Annotated[float, Field(ge=0, lt=1)] = 0.0,
        optim: Optim = ADAMW,
        seed: NonNegativeInt = 0,
        **network: Any,
    ) -> None:
        super().__init__()
        arguments = {
            "epochs": epochs,
            "lr_factor": lr_factor,
            "ema_decay": ema_decay,
            "optim": dict(optim),
            "seed": seed,
            **network,
        }
        self.save_hyperparameters(with_defaults(type(self), arguments))
        self.model = self.network_class(**network)

    @property
    def name(self) -> str:
        """Prefix of the metrics and name of the checkpoint."""
        return str(self.model.name)

    def forward(self, *inputs: Any) -> Any:
        """Compute the output of the network."""
        return self.model(*inputs)

    def train_batches(self, data: Any) -> DataLoader[Any]:
        """Return the DataLoader of training batches of `data`, a data module."""
        loader: DataLoader[Any] = data.train_dataloader()
        return loader

    def prepare(self, data: Any) -> None:
        """Read what training needs from `data`, a data module, such as the metric that the data allow to monitor."""

    def configure_callbacks(self) -> list[Callback]:
        """Callback that averages the weights, if enabled."""
        return [AveragedWeights(self.hparams["ema_decay"])] if self.hparams["ema_decay"] else []

    def post_fit(self, data: Any) -> dict[str, float]:
        """Fit calibration and projections after training on `data`, a data module; return metrics on `val`."""
        return {}

    def on_train_epoch_start(self) -> None:
        """Set training mode, and evaluation mode for frozen layers: Lightning does not set the mode itself."""
        self.train()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout and the sampling of proposals, so that resumed and uninterrupted training give equal weights.

        The seed depends on the config, the epoch and the rank. Seeding in `on_train_epoch_start` would not suffice: the
        data loader also draws a random number, and draws it earlier after resuming.
        """
        if batch_idx == 0:
            seed = self.hparams["seed"] * 100_003 + self.current_epoch
            torch.manual_seed(seed + RANK_SEED * self.global_rank)

    def on_train_epoch_end(self) -> None:
        """Stop training if the loss is not finite.

        Raises:
            NonFiniteLossError: the loss of the last step is NaN or infinite.
        """
        loss = float(self.trainer.callback_metrics[f"{self.name}/train/loss"])  # mean of all processes
        if not math.isfinite(loss):
            raise NonFiniteLossError(
                f"{self.name}/train/loss={loss} in epoch {self.current_epoch + 1}: not finite; lower optim.lr, "
                "lr_factor or head_factor"
            )

    def build_optimizer(self, groups: Iterable[tuple[Iterable[Parameter], float]]) -> OptimizerLRScheduler:
        """Build optimizer and schedule for groups of (parameters, learning rate); see Optim."""
        optimizer = create_optimizer(groups, self.hparams["optim"])
        num_steps = int(self.trainer.estimated_stepping_batches)
        schedule = warmup_cosine_schedule(optimizer, num_steps, self.hparams["optim"]["warmup"])
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
