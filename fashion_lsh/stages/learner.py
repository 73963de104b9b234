"""What all three stages share: a name, what their fit found, and how it ends."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import Callback
from torch.utils.data import DataLoader


class Learner(pl.LightningModule):
    """A stage that `fit` fits.  Subclasses save their own hyper-parameters, `epochs` among them."""

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

    def settle(self, data: Any) -> dict[str, float]:
        """Finish a fit, whose weights are chosen: give the facts to keep.  `data`: what it was fitted on."""
        return {}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.facts = checkpoint.get("facts", {})  # one that is being fitted has none yet
