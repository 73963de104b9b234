"""Networks of classifier and hash head: output, probabilities, fingerprint, initial weights."""

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.batch_encoding import encode_all
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.models.checkpoints import load_model, save_model
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import encode
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.hash_head import HashHead
from tests.models.factories import make_arguments

EMPTY_BATCH = Batch(*[torch.empty(0)] * 4)
both_models = pytest.mark.parametrize("module_class", [Classifier, HashHead])


@functools.cache
def _cached_model(module_class: type[CropModule]) -> CropModel:
    torch.manual_seed(0)
    return module_class(**make_arguments(module_class)).model.eval()  # type: ignore[arg-type]


class FixedSize(Backbone):
    """Own backbone for images of 48 pixels."""

    def __init__(self) -> None:
        super().__init__("fixed", torch.nn.Flatten(), 3 * 48**2, 32, fixed_size=48)


def make_model(module_class: type[CropModule]) -> CropModel:
    """Return a new copy of a model with the same weights at every call."""
    return copy.deepcopy(_cached_model(module_class))


def random_images(batch: int = 4, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)


@both_models
@torch.inference_mode()
def test_output_has_float32_logits_and_unit_embeddings(module_class: type[CropModule]) -> None:
    output = make_model(module_class)(random_images())
    assert output.logits.shape == (4, 3)
    assert output.embedding.shape == (4, 512)
    assert output.logits.dtype == output.embedding.dtype == torch.float32
    torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(4))


@both_models
@torch.inference_mode()
def test_embedding_depends_on_the_backbone_only(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    features = model.backbone(random_images())
    for parameter in model.head_parameters():
        parameter.zero_()
    expected = features / features.pow(2).sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(model(random_images()).embedding, expected)


@both_models
@torch.inference_mode()
def test_output_does_not_depend_on_the_batch(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    batched, single = model(random_images()), model(random_images()[2:3])
    torch.testing.assert_close(batched.logits[2:3], single.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(batched.embedding[2:3], single.embedding, rtol=1e-4, atol=1e-5)


@both_models
@torch.inference_mode()
@pytest.mark.parametrize("value", [0, 255])
def test_constant_image_gives_finite_output(module_class: type[CropModule], value: int) -> None:
    output = make_model(module_class)(torch.full((1, 3, 32, 32), value, dtype=torch.uint8))
    assert output.logits.isfinite().all()
    assert output.embedding.isfinite().all()


@both_models
@torch.inference_mode()
def test_probabilities_are_softmax_at_the_temperature(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    model.temperature.fill_(2.5)
    logits = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    exponentials = (logits / 2.5).exp()
    torch.testing.assert_close(model.probabilities(logits), exponentials / exponentials.sum(1, keepdim=True))


@both_models
def test_crops_too_small_for_the_backbone_are_rejected(module_class: type[CropModule]) -> None:
    with pytest.raises(ValueError, match=r"data\.image_size=31: resnet18 .*\b32\b"):
        module_class(**make_arguments(module_class, image_size=31))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"data\.image_size=62: alexnet .*\b63\b"):
        module_class(**make_arguments(module_class, image_size=62, backbone="alexnet"))  # type: ignore[arg-type]
    own = f"{__name__}.FixedSize"
    with pytest.raises(ValueError, match=r"data\.image_size=32: .*FixedSize .*data\.image_size=48"):
        module_class(**make_arguments(module_class, image_size=32, backbone=own))  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [Classifier, HashHead])
@both_models
def test_start_from_copies_only_the_backbone(module_class: type[CropModule], other: type[CropModule]) -> None:
    model, started = make_model(other), make_model(module_class)
    for value in model.state_dict().values():
        value.add_(1)
    before = copy.deepcopy(started.state_dict())
    assert started.start_from(model) is started
    for name, value in started.state_dict().items():
        own = before[name] if not name.startswith("backbone.") else model.state_dict()[name]
        assert torch.equal(value, own), name


def test_start_from_copies_tensors() -> None:
    model = make_model(Classifier)
    started = make_model(HashHead).start_from(model)
    with torch.no_grad():
        started.backbone.get_parameter("network.conv1.weight").add_(1)
    assert not torch.equal(started.backbone.network.conv1.weight, model.backbone.network.conv1.weight)  # type: ignore[union-attr]


@both_models
def test_every_weight_and_statistic_changes_the_fingerprint(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    before, state = model.fingerprint(), {name: value for name, value in model.state_dict().items() if value.numel()}
    for name in [*list(state)[:8], *list(state)[-9:]]:  # buffers, weights, biases, statistics and counters
        original = state[name].clone()
        state[name].view(-1)[-1] += 1
        assert model.fingerprint() != before, name
        state[name].copy_(original)
    assert model.fingerprint() == before


@both_models
@pytest.mark.parametrize("name", ["image_size", "margin", "threshold"])
def test_preprocessing_and_threshold_change_the_fingerprint(module_class: type[CropModule], name: str) -> None:
    model = make_model(module_class)
    before = model.fingerprint()
    setattr(model, name, getattr(model, name) + 1)
    assert model.fingerprint() != before


@pytest.mark.parametrize("name", ["backbone.mean", "backbone.std", "temperature"])
def test_normalisation_and_temperature_change_the_fingerprint(name: str) -> None:
    model = make_model(HashHead)
    before = model.fingerprint()
    model.get_buffer(name).mul_(1.001)
    assert model.fingerprint() != before


def test_swapped_weights_change_the_fingerprint() -> None:
    model = make_model(Classifier)
    before, state = model.fingerprint(), model.state_dict()
    mean, std = state["backbone.mean"], state["backbone.std"]
    original = mean.clone()
    mean.copy_(std)
    std.copy_(original)
    assert model.fingerprint() != before


@pytest.mark.parametrize("other", [torch.ones(1), torch.ones(()).view(torch.int32)], ids=["shape", "dtype"])
def test_equal_bytes_of_another_shape_or_dtype_change_the_fingerprint(other: Tensor) -> None:
    model = make_model(Classifier)
    before = model.fingerprint()
    model.temperature = other
    assert model.fingerprint() != before


def test_equal_bytes_of_another_name_change_the_fingerprint() -> None:
    model = make_model(Classifier)
    before = model.fingerprint()
    del model.temperature
    model.register_buffer("temperature_", torch.ones(()))
    assert model.fingerprint() != before


@both_models
def test_mode_and_memory_format_do_not_change_the_fingerprint(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    before = model.fingerprint()
    assert model.train().fingerprint() == before
    assert model.eval().requires_grad_(False).fingerprint() == before
    assert model.to(memory_format=torch.channels_last).fingerprint() == before
    assert copy.deepcopy(model).fingerprint() == before


@both_models
def test_saved_and_loaded_model_has_the_same_fingerprint(module_class: type[CropModule], tmp_path: Path) -> None:
    save_model(model := make_model(module_class), tmp_path / "stage.ckpt", make_arguments(module_class))
    assert load_model(tmp_path / "stage.ckpt").fingerprint() == model.fingerprint()


@both_models
def test_head_parameters_are_all_parameters_after_the_backbone(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    expected = {id(p) for name, p in model.named_parameters() if not name.startswith("backbone.")}
    assert {id(p) for p in model.head_parameters()} == expected


@both_models
def test_encode_sets_evaluation_mode(module_class: type[CropModule]) -> None:
    model = make_model(module_class)
    expected, before = encode(model, random_images()), model.fingerprint()
    for actual in (
        encode(model.train(), random_images()),
        encode_all(model.train(), [EMPTY_BATCH._replace(images=random_images())])[0],
    ):
        assert not model.training
        assert model.fingerprint() == before  # includes batch-norm statistics
        for ours, theirs in zip(actual, expected, strict=True):
            assert (ours is None and theirs is None) or np.array_equal(ours, theirs)


@both_models
def test_frozen_backbone_is_not_updated(module_class: type[CropModule]) -> None:
    model = module_class(**make_arguments(module_class, frozen=True)).model  # type: ignore[arg-type]
    assert model.training
    assert not model.backbone.training
    before = {name: value.clone() for name, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    model(random_images()).logits.square().sum().backward()
    optimizer.step()
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not [name for name in changed if name.startswith("backbone.")]  # includes batch-norm statistics
    assert not model.eval().training
    assert not model.train().backbone.training
    assert module_class(**make_arguments(module_class)).model.train().backbone.training  # type: ignore[arg-type]
