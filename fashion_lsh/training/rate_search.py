"""Choose the learning rate of heads on cached features by the score on val."""

import copy
import logging
import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytorch_lightning as pl
from pytorch_lightning.callbacks import EarlyStopping

from fashion_lsh.training.module import NonFiniteLossError, TrainingModule
from fashion_lsh.training.world import World, WorldEnvironment

log = logging.getLogger(__name__)


def choose_rate(
    stage: TrainingModule, data: Any, multiples: Sequence[float], patience: int | None, options: Mapping[str, Any]
) -> float:
    """Train copies of a stage with several learning rates; return the `optim.lr` to use.

    The score of a copy is the best value of `stage.monitor` over its epochs. The first rate whose score is within one
    standard error of the best score is used: sqrt(s (1 - s) / n) for the best score s in 0..1 and n rows of val, and 0
    for a metric that is minimised. A rate with which the loss is not finite is not used.

    Args:
        stage: LightningModule with a monitored metric; unchanged.
        data: data module of the stage.
        multiples: multiples of `optim.lr` to try, in order of preference.
        patience: see `fit`.
        options: arguments of Lightning's Trainer.

    Raises:
        NonFiniteLossError: the loss is not finite with any of the rates.
    """
    rates = [stage.hparams["optim"]["lr"] * multiple for multiple in multiples]
    scores = [_score(stage, data, rate, patience, options) for rate in rates]
    best = max(scores) if stage.monitor_mode == "max" else min(scores)
    if not math.isfinite(best):
        raise NonFiniteLossError(f"{stage.name}: the loss is not finite with any of the learning rates {rates}")
    error = 0.0
    if stage.monitor_mode == "max" and 0 <= best <= 1:
        error = math.sqrt(best * (1 - best) / len(data.rows("val")))
    rate = next(rate for rate, score in zip(rates, scores, strict=True) if abs(best - score) <= error)
    tried = ", ".join(f"{each:g}: {score:.4f}" for each, score in zip(rates, scores, strict=True))
    log.info("%s: learning rate %g, chosen by %s (%s)", stage.name, rate, stage.monitor, tried)
    return rate


def set_rate(stage: TrainingModule, rate: float) -> None:
    """Set `optim.lr` of a stage."""
    stage.hparams["optim"] = {**stage.hparams["optim"], "lr": rate}


def _score(stage: TrainingModule, data: Any, rate: float, patience: int | None, options: Mapping[str, Any]) -> float:
    """Best value of the monitored metric of a copy trained with this rate; infinitely bad if the loss is not finite."""
    trial, epochs = copy.deepcopy(stage), stage.hparams["epochs"]
    set_rate(trial, rate)
    stopping = EarlyStopping(str(stage.monitor), mode=stage.monitor_mode, patience=patience or epochs)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = pl.Trainer(
        max_epochs=epochs, callbacks=stopping, plugins=[WorldEnvironment(World())], **{**options, **quiet}
    )
    try:
        trainer.fit(trial, trial.train_batches(data), data.val_dataloader())
    except NonFiniteLossError:
        return -math.inf if stage.monitor_mode == "max" else math.inf
    return float(stopping.best_score)
