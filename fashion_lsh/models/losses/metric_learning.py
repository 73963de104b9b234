"""Losses and miners of pytorch-metric-learning, chosen by name."""

import difflib
import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Literal, NotRequired

import torch
from pydantic import PositiveInt
from torch import Tensor, nn
from typing_extensions import TypedDict  # pydantic requires it before Python 3.12

from fashion_lsh.io.targets import ComponentError, construct

LIBRARY = "pytorch_metric_learning"
KEY = "hash.item_loss"
NO_LOSSES = ("GenericPairLoss", "VICRegLoss")  # a base class; a loss without labels


class ItemLoss(TypedDict):
    """Settings of a loss of pytorch-metric-learning; all further keys are arguments of the loss, such as `margin`.

    Attributes:
        name: class of `pytorch_metric_learning.losses`, such as `MultiSimilarityLoss`.
        vectors: compared vectors: the activations relative to the threshold (`codes`), or the features from which
            the embedding is computed (`embedding`).
        labels: classes of the loss: `item` or `category`.
        miner: class of `pytorch_metric_learning.miners`, or a mapping of `name` and arguments; None: all pairs.
        memory: number of vectors of previous batches that are also compared (`CrossBatchMemory`); None: none.
    """

    __pydantic_config__ = {"extra": "allow"}  # type: ignore[misc]  # noqa: RUF012  pydantic setting for config.check

    name: str
    vectors: NotRequired[Literal["codes", "embedding"]]
    labels: NotRequired[Literal["item", "category"]]
    miner: NotRequired[str | dict[str, Any] | None]
    memory: NotRequired[PositiveInt | None]


class MetricLearningLoss(nn.Module):
    """Loss of pytorch-metric-learning: `loss(vectors, labels)` returns a scalar.

    X. Wang, H. Zhang, W. Huang, M. R. Scott: Cross-Batch Memory for Embedding Learning, CVPR 2020, for `memory`.

    Args:
        settings: see ItemLoss.
        embedding_size: length D of the vectors.
        classes: (N,) int64 labels of the training data, ascending and unique; the classes of ArcFaceLoss and others.
        seed: random seed of the initial weights of the loss (proxies or class weights).

    Attributes:
        needs_classes: True if the loss has weights or proxies of each class, False if it compares vectors.

    Raises:
        ComponentError: the library is not installed, or name, arguments or miner are invalid.
    """

    classes: Tensor

    def __init__(self, settings: ItemLoss, embedding_size: int, classes: Tensor, seed: int = 0) -> None:
        super().__init__()
        self.register_buffer("classes", classes)
        loss_class = _find_class("losses", settings["name"], f"{KEY}.name")
        arguments = {name: value for name, value in settings.items() if name not in ItemLoss.__annotations__}
        sizes = {"num_classes": len(classes), "embedding_size": embedding_size, "descriptors_dim": embedding_size}
        required = _required_parameters(loss_class)
        arguments = {name: size for name, size in sizes.items() if name in required} | arguments
        self.needs_classes = "num_classes" in required
        miner, memory = settings.get("miner"), settings.get("memory")
        self.miner: nn.Module | None = None if miner is None else _create_miner(miner)
        with torch.random.fork_rng(devices=[]):  # the weights depend only on the seed, and change no other draws
            torch.manual_seed(seed)
            self.loss: Any = construct(loss_class, arguments, f"{KEY}.name={settings['name']}")
        self.has_memory = memory is not None
        if memory is not None:
            memory_class = _library("losses").CrossBatchMemory
            supported = memory_class.supported_losses()
            if settings["name"] not in supported:
                raise ComponentError(
                    f"{KEY}.memory={memory}: {settings['name']} cannot use a memory; set {KEY}.memory=null, or "
                    f"{KEY}.name to one of {', '.join(supported)}"
                )
            self.loss, self.miner = memory_class(self.loss, embedding_size, memory, self.miner), None

    def forward(self, vectors: Tensor, labels: Tensor, groups: Tensor | None = None) -> Tensor:
        """Compute the loss.

        Args:
            vectors: (B, D) float32.
            labels: (B,) int64 in `classes`.
            groups: (B,) int64; vectors are compared only within each group, and the losses are averaged, weighted by
                the size of the group. None: all vectors are compared.

        Returns:
            Scalar.
        """
        if groups is not None:
            masks = [groups == group for group in torch.unique(groups)]
            losses = [mask.sum() / len(groups) * self.forward(vectors[mask], labels[mask]) for mask in masks]
            return torch.stack(losses).sum()
        positions = torch.searchsorted(self.classes, labels)
        pairs = None if self.miner is None else self.miner(vectors, positions)
        loss: Tensor = self.loss(vectors, positions, pairs)
        return loss

    def get_extra_state(self) -> Tensor:
        """Return the position of the next vector in the memory, and 1 if the memory is full, as (2,) int64."""
        state = (self.loss.queue_idx, int(self.loss.has_been_filled)) if self.has_memory else (0, 0)
        return torch.tensor(state)

    def set_extra_state(self, state: Tensor) -> None:
        """Restore the state of the memory, of which the library saves only the vectors."""
        if self.has_memory:
            self.loss.queue_idx, self.loss.has_been_filled = int(state[0]), bool(state[1])


def _library(module: str) -> Any:
    """Import a module of the library.

    Raises:
        ComponentError: the library is not installed.
    """
    try:
        return import_module(f"{LIBRARY}.{module}")
    except ImportError as error:
        raise ComponentError(
            f'{KEY}: needs pytorch-metric-learning ({error}); run pip install "fashion-lsh[pml]", or set {KEY}=null'
        ) from error


def _find_class(module: str, name: str, key: str) -> type:
    """Return a loss or miner by name.

    Raises:
        ComponentError: the name is unknown.
    """
    base = _library(module).BaseMetricLossFunction if module == "losses" else _library(module).BaseMiner
    known = {
        each: value for each, value in vars(_library(module)).items()
        if inspect.isclass(value) and issubclass(value, base) and value is not base and each not in NO_LOSSES
    }  # fmt: skip
    if name not in known:
        near = difflib.get_close_matches(name.lower(), [each.lower() for each in known], cutoff=0.5)
        similar = [each for match in near for each in known if each.lower() == match]
        raise ComponentError(f"{key}={name!r}: not in {LIBRARY}.{module}; set {' or '.join(similar or sorted(known))}")
    return known[name]


def _create_miner(miner: str | Mapping[str, Any]) -> nn.Module:
    settings = {"name": miner} if isinstance(miner, str) else dict(miner)
    key = f"{KEY}.miner"
    if "name" not in settings:
        raise ComponentError(f"{key}={settings!r}: no name; set {key}.name to a class of {LIBRARY}.miners")
    name = str(settings.pop("name"))
    created: nn.Module = construct(_find_class("miners", name, key), settings, f"{key}={name}")
    return created


def _required_parameters(constructor: type) -> set[str]:
    """Names of the parameters without a default of a class of the library, including those of its base classes."""
    constructors = [vars(base)["__init__"] for base in constructor.__mro__ if "__init__" in vars(base)]
    parameters = [each for init in constructors for each in inspect.signature(init).parameters.values()]
    return {each.name for each in parameters if each.default is each.empty}
