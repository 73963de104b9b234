"""Fine-tuning: rates by depth, mixup, averaged weights, frozen first blocks."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.training.callbacks import AveragedWeights
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.hash_head import HashHead
from tests.models.factories import make_arguments
from tests.models.test_crop_model import random_images
from tests.training.factories import fit_on_cpu, make_module, states_are_equal, stop_at_epoch_end

MakeData = Callable[..., GarmentData]
both_modules = pytest.mark.parametrize("module_class", [Classifier, HashHead])
LABELS = torch.tensor([0, 2, 1, 2])


@both_modules
def test_rate_of_a_block_falls_with_its_distance_from_the_head(module_class: type[CropModule]) -> None:
    module = module_class(**make_arguments(module_class, layer_decay=0.5))  # type: ignore[arg-type]
    module.trainer = SimpleNamespace(estimated_stepping_batches=10)  # type: ignore[assignment]
    configured: Any = module.configure_optimizers()
    rate = {id(p): group["initial_lr"] for group in configured["optimizer"].param_groups for p in group["params"]}
    network = module.model.backbone.network
    last, first = network.get_submodule("layer4.1"), network.get_submodule("conv1")
    assert {rate[id(p)] for p in last.parameters()} == {0.01}
    assert {rate[id(p)] for p in network.get_submodule("layer4.0").parameters()} == {0.005}
    num_blocks = len(module.model.backbone.parameter_groups())
    assert {rate[id(p)] for p in first.parameters()} == {0.01 * 0.5 ** (num_blocks - 1)}
    assert {rate[id(p)] for p in module.head_parameters()} == {0.1}
    assert len(rate) == len(list(module.parameters()))


def test_mixup_is_the_loss_of_mixed_images_and_labels() -> None:
    module = Classifier(**make_arguments(Classifier, mixup=0.4, label_smoothing=0.0)).eval()
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    images, losses = random_images(), []
    for seed in range(5):
        with torch.no_grad():
            torch.manual_seed(seed)
            losses.append(float(module.training_step(Batch(images, LABELS, LABELS, LABELS))))
            torch.manual_seed(seed)
            ratio = float(torch.distributions.Beta(0.4, 0.4).sample())
            order = torch.randperm(len(LABELS))
            mixed = ratio * images.float() + (1 - ratio) * images[order].float()
            logits = module(mixed).logits
            one_hot = functional.one_hot(LABELS, 3).float()
            targets = ratio * one_hot + (1 - ratio) * one_hot[order]
        expected = -(targets * logits.log_softmax(1)).sum(1).mean()
        assert losses[-1] == pytest.approx(float(expected), abs=1e-5)
    assert len(set(losses)) == 5


def test_validation_images_are_not_mixed() -> None:
    modules = [Classifier(**make_arguments(Classifier, mixup=mixup)) for mixup in (0.0, 0.4)]
    modules[1].load_state_dict(modules[0].state_dict())
    logged: list[dict[str, Any]] = []
    for module in modules:
        logged.append(values := {})
        module.log = lambda name, value, values=values, **_: values.update({name: value})  # type: ignore[method-assign]
        with torch.no_grad():
            module.eval().validation_step(Batch(random_images(), LABELS, LABELS, LABELS))
    assert logged[0]["classifier/val/loss"] == logged[1]["classifier/val/loss"]


def test_mixup_and_items_cannot_be_combined() -> None:
    with pytest.raises(ValueError, match=r"hash\.mixup=0\.2.*hash\.item_weight"):
        HashHead(**make_arguments(HashHead, mixup=0.2, item_weight=0.5))


@pytest.mark.parametrize("frozen_blocks", [1, 4])
def test_frozen_blocks_neither_train_nor_update_their_statistics(frozen_blocks: int) -> None:
    module = Classifier(**make_arguments(Classifier, frozen_blocks=frozen_blocks))
    backbone = module.model.backbone
    frozen = {id(p) for group in backbone.parameter_groups()[:frozen_blocks] for p in group}
    assert frozen == {id(p) for p in backbone.parameters() if not p.requires_grad}
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in module.parameters() if p.requires_grad], lr=0.1)
    module.train()
    module.compute_loss(module(random_images()), Batch(random_images(), LABELS, LABELS, LABELS)).backward()
    optimizer.step()
    frozen_names = {name for name, p in backbone.named_parameters() if id(p) in frozen}
    prefixes = {name.rpartition(".")[0] for name in frozen_names}  # statistics of a batch norm have its prefix
    for name, value in backbone.state_dict().items():
        if name.rpartition(".")[0] in prefixes:
            assert torch.equal(value, before[name]), name
    changed = {name for name, value in backbone.state_dict().items() if not torch.equal(value, before[name])}
    assert any(name.endswith("running_mean") for name in changed)
    assert all(id(p) in frozen or name in changed for name, p in backbone.named_parameters())


def test_more_frozen_blocks_than_the_backbone_has_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"backbone\.frozen_blocks=99.*\d+ blocks"):
        Classifier(**make_arguments(Classifier, frozen_blocks=99))


def test_frozen_blocks_need_weights() -> None:
    model = Classifier(**make_arguments(Classifier, frozen_blocks=2)).model
    with pytest.raises(ValueError, match=r"backbone\.frozen_blocks=2.*backbone\.weights"):
        model.load_weights(None)
    model.backbone.loads_weights = True  # as a class whose constructor loads weights declares
    model.load_weights(None)


@given(decay=st.floats(0, 0.99999), seed=st.integers(0, 2**16))
def test_integers_are_copied_and_floats_averaged(decay: float, seed: int) -> None:
    """Lightning's EMAWeightAveraging changes integers with a decay of 0.9, for example the indices of Swin."""
    module = nn.BatchNorm1d(3)
    module.register_buffer("index", torch.arange(169))
    averaged = AveragedModel(module, avg_fn=AveragedWeights(decay)._kwargs["avg_fn"], use_buffers=True)
    averaged.update_parameters(module)  # the first call copies
    before, torch_generator = module.weight.detach().clone(), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        module.weight.copy_(torch.rand(3, generator=torch_generator))
    averaged.update_parameters(module)
    assert torch.equal(averaged.module.index, torch.arange(169))
    torch.testing.assert_close(averaged.module.weight, decay * before + (1 - decay) * module.weight)


@pytest.mark.train
@pytest.mark.usefixtures("tiny_backbones")
def test_weights_are_averaged_by_a_plain_trainer(make_data: MakeData) -> None:
    data, states = make_data(), []
    for decay in (0.0, 0.9):
        module = make_module(epochs=1, ema_decay=decay)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
        pl.Trainer(max_epochs=1, accelerator="cpu", **quiet).fit(module, data)
        states.append(module.model.state_dict())
    assert not states_are_equal(*states)


@pytest.mark.train
@pytest.mark.usefixtures("tiny_backbones")
@both_modules
def test_averaged_weights_are_saved_and_resumed(
    module_class: type[CropModule], make_data: MakeData, tmp_path: Path
) -> None:
    settings = {"ema_decay": 0.9, "layer_decay": 0.8, "mixup": 0.3}
    last = fit_on_cpu(make_module(module_class, **settings | {"ema_decay": 0.0}), make_data(), tmp_path / "last")
    averaged = fit_on_cpu(make_module(module_class, **settings), make_data(), tmp_path / "whole")
    assert not states_are_equal(last.state_dict(), averaged.state_dict())
    with pytest.MonkeyPatch.context() as patch:
        stop_at_epoch_end(1, patch)
        with pytest.raises(RuntimeError, match="interrupted"):
            fit_on_cpu(make_module(module_class, **settings), make_data(), tmp_path / "stopped")
    resumed = fit_on_cpu(make_module(module_class, **settings), make_data(), tmp_path / "stopped")
    assert states_are_equal(resumed.state_dict(), averaged.state_dict())
