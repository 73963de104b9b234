"""Hash head: activations, codes, gradients, embedding, and invalid settings."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.data.dataset import Batch
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.encoding import encode
from fashion_lsh.models.hash_head import HashHeadModel
from fashion_lsh.models.losses import LOSSES
from fashion_lsh.models.losses.item_contrast import supervised_contrastive_loss
from fashion_lsh.models.memory_format import use_inference_format
from fashion_lsh.models.projection import principal_axes
from fashion_lsh.training.hash_head import HashHead
from tests.models.factories import save

IMAGES = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
each_length = pytest.mark.parametrize("bits", [1, 7, 48, 130])


def make_module(bits: int, **changes: Any) -> HashHead:
    defaults: dict[str, Any] = {
        "backbone": "resnet18", "categories": ["circle", "cross", "square"], "bits": bits,
        "embedding_dim": None, "image_size": 32, "margin": 0.1, "frozen": False, "epochs": 1, "loss": "softmax",
        "bihalf": False, "item_weight": 0.0,
        "lr_factor": 1.0, "head_factor": 10.0, "label_smoothing": 0.1, "seed": 0,
        "optim": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1},
    }  # fmt: skip
    return HashHead(**defaults | changes)


def make_hash_head(bits: int, **changes: Any) -> HashHeadModel:
    return make_module(bits, **changes).model


@functools.cache
def cached_module(bits: int) -> HashHead:
    torch.manual_seed(0)
    return make_module(bits).eval()


def cached_hash_head(bits: int) -> HashHeadModel:
    return cached_module(bits).model


@functools.cache
def cached_activations(bits: int) -> Tensor:
    with torch.inference_mode():
        actual = cached_hash_head(bits)(IMAGES).activations
    assert actual is not None
    return actual


@each_length
def test_activations_are_between_0_and_1(bits: int) -> None:
    actual = cached_activations(bits)
    assert actual.shape == (5, bits)
    assert actual.dtype == torch.float32
    assert ((actual > 0) & (actual < 1)).all()
    assert cached_hash_head(bits).bits == bits


@each_length
def test_code_bit_is_1_above_the_threshold(bits: int) -> None:
    codes = encode(cached_hash_head(bits), IMAGES).codes
    assert codes is not None
    assert codes.shape == (5, -(-bits // 8))
    expected = (cached_activations(bits) > 0.5).numpy()
    unpacked = np.unpackbits(codes, axis=1, bitorder="little")
    assert np.array_equal(unpacked[:, :bits], expected)
    assert not unpacked[:, bits:].any()


@torch.inference_mode()
def test_hash_head_is_linear_sigmoid_linear() -> None:
    model = cached_hash_head(7)
    features = model.backbone(IMAGES)
    hidden = 1 / (1 + (-(features @ model.hash_layer.weight.T + model.hash_layer.bias)).exp())
    output = model(IMAGES)
    torch.testing.assert_close(output.activations, hidden)
    torch.testing.assert_close(output.logits, hidden @ model.head.weight.T + model.head.bias)


@torch.inference_mode()
def test_logits_depend_on_activations_only() -> None:
    model = make_hash_head(7).eval()
    model.hash_layer.weight.zero_()
    logits = model(IMAGES).logits
    assert torch.equal(logits, logits[:1].expand_as(logits))


def test_softmax_loss_has_a_gradient_in_all_layers() -> None:
    module = make_module(7)
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    labels = torch.tensor([0, 1, 2, 0, 1])
    module.training_step(Batch(IMAGES, labels, labels, labels)).backward()
    model = module.model
    for name in ("hash_layer.weight", "hash_layer.bias", "head.weight", "backbone.network.conv1.weight"):
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("bits", [0, -3])
def test_zero_bits_are_rejected(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"hash\.bits={bits}: .*hash=none"):
        make_hash_head(bits)


@each_length
def test_hash_head_checkpoint_gives_the_same_output(bits: int, tmp_path: Path) -> None:
    save(cached_module(bits), tmp_path / "hash_head.ckpt")
    opened = load_model(tmp_path / "hash_head.ckpt")
    reopened = HashHead.load_from_checkpoint(tmp_path / "hash_head.ckpt", weights_only=True)
    assert dict(reopened.hparams) == dict(cached_module(bits).hparams)
    assert reopened.model.fingerprint() == opened.fingerprint()
    use_inference_format(cached_hash_head(bits))
    with torch.inference_mode():
        before, after = cached_hash_head(bits)(IMAGES), opened(IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_short_embedding_is_a_pca_projection() -> None:
    model = make_hash_head(7, embedding_dim=5).eval()
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        features = functional.normalize(model.backbone(images), dim=1)
        model.fit_pca(features)
        actual = model(images).embedding
    centre, axes = principal_axes(features, 5)
    assert actual.shape == (40, 5)
    assert torch.allclose(actual, functional.normalize((features - centre) @ axes, dim=1), atol=1e-5)
    assert torch.allclose(actual.norm(dim=1), torch.ones(40), atol=1e-5)


@pytest.mark.parametrize("length", [None, 512, 4096])
def test_long_embedding_equals_the_features(length: int | None) -> None:
    model = make_hash_head(7, embedding_dim=length).eval()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        model.fit_pca(torch.full((4, 512), torch.nan))  # has no effect without PCA
        assert torch.equal(model(images).embedding, functional.normalize(model.backbone(images), dim=1))


def test_pca_axes_are_part_of_the_state_dict() -> None:
    model, other = make_hash_head(7, embedding_dim=5), make_hash_head(7, embedding_dim=5)
    model.fit_pca(torch.randn(40, 512))
    assert model.fingerprint() != other.fingerprint()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.axes, model.axes)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("bihalf", [False, True])
def test_codes_are_thresholded_activations_for_every_loss(loss: str, bihalf: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = make_module(13, loss=loss, bihalf=bihalf).eval()
    model = module.model
    use_inference_format(model)
    with torch.inference_mode():
        output = model(IMAGES)
    assert output.activations is not None
    actual = encode(model, IMAGES).codes
    assert actual is not None
    bits = (output.activations > model.threshold).numpy()
    assert np.array_equal(np.unpackbits(actual, axis=1, bitorder="little", count=13), bits)
    save(module, tmp_path / "hash_head.ckpt")
    with torch.inference_mode():
        reopened = load_model(tmp_path / "hash_head.ckpt")(IMAGES)
    assert all(torch.equal(a, b) for a, b in zip(output, reopened, strict=True))


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("item_weight", [0.0, 0.5])
def test_every_loss_has_a_gradient_in_hash_layer_head_and_backbone(loss: str, item_weight: float) -> None:
    module = make_module(13, loss=loss, item_weight=item_weight)
    module.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    labels = torch.tensor([0, 1, 2, 0, 0])
    module.training_step(Batch(IMAGES, labels, labels, torch.tensor([0, 1, 2, 0, 1]))).backward()
    model = module.model
    for parameter in [*model.head_parameters(), *model.backbone.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    for name in ("hash_layer.weight", "head.weight", "backbone.network.conv1.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0, name  # type: ignore[union-attr]


def test_item_contrast_uses_activations_and_features() -> None:
    module = make_module(13, item_weight=0.7, embedding_dim=5).eval()
    model = module.model
    batch = Batch(IMAGES, torch.tensor([0, 1, 2, 0, 1]), torch.arange(5), torch.tensor([0, 1, 0, 1, 2]))
    output = model(IMAGES)
    loss_without_contrast = float(module.compute_loss(output, batch).detach())  # no contrast in evaluation mode
    features = functional.normalize(model.backbone(IMAGES), dim=1)
    module.training = model.training = True  # not recursive: batch norms stay in evaluation mode
    output = model(IMAGES)
    assert output.activations is not None
    torch.testing.assert_close(output.embedding, features)
    expected = 0.7 * (
        supervised_contrastive_loss(output.activations - 0.5, batch.items, 0.1)
        + supervised_contrastive_loss(features, batch.items, 0.1)
    )
    assert float(module.compute_loss(output, batch).detach()) - loss_without_contrast == pytest.approx(
        float(expected.detach()), rel=1e-4
    )


def test_too_few_bits_are_logged_as_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    make_hash_head(2)
    assert not caplog.records
    make_hash_head(1)
    assert "hash.bits=1" in caplog.text


@pytest.mark.parametrize("loss", ["csq", "orthohash"])
def test_too_few_bits_are_rejected_by_losses_with_centres(loss: str) -> None:
    with pytest.raises(ValueError, match=r"hash\.bits=1: .*at least 2 bits"):
        make_hash_head(1, loss=loss)


@pytest.mark.parametrize("loss", ["softmax", "csq"])
def test_the_best_epoch_is_chosen_by_the_map_of_the_codes(loss: str) -> None:
    assert make_module(7, loss=loss).monitor == "hash_head/val/code_map"
    assert make_module(7, loss=loss, item_weight=0.5).monitor == "hash_head/val/code_map"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("loss", ["softmax", "ssdh", "greedyhash"])
def test_head_of_bihalf_reads_values_of_minus_1_and_1(loss: str, training: bool) -> None:
    torch.manual_seed(0)
    model = make_hash_head(13, loss=loss, bihalf=True).train(training)
    inputs: list[Tensor] = []
    model.head.register_forward_pre_hook(lambda _, args: inputs.append(args[0].detach()))
    outputs = model(IMAGES)
    assert inputs[0].abs().eq(1).all()
    assert torch.equal(inputs[0] > 0, outputs.activations > model.threshold)


def test_bihalf_rejects_batches_of_one(make_data: Callable[..., GarmentData]) -> None:
    with pytest.raises(ValueError, match=r"data\.batch_size=1: .*hash\.bihalf=true"):
        make_module(7, bihalf=True).train_batches(make_data(batch_size=1))
