"""The hash layer: what its activations are, what learns through it, and which lengths it takes."""

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
from fashion_lsh.models.losses.item_contrast import contrast
from fashion_lsh.models.projection import principal_axes
from fashion_lsh.training.hash_head import Hasher
from tests.models.factories import save

PICTURES = torch.randint(0, 256, (5, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LENGTHS = pytest.mark.parametrize("bits", [1, 7, 48, 130])


def module(bits: int, **changes: Any) -> Hasher:
    plain: dict[str, Any] = {
        "backbone": "resnet18", "categories": ["circle", "cross", "square"], "bits": bits,
        "embedding_dim": None, "image_size": 32, "margin": 0.1, "frozen": False, "epochs": 1, "loss": "softmax",
        "bihalf": False, "item_weight": 0.0,
        "lr_factor": 1.0, "head_factor": 10.0, "label_smoothing": 0.1, "seed": 0,
        "optim": {"name": "sgd", "lr": 0.01, "momentum": 0.9, "weight_decay": 0.0005, "warmup": 0.1},
    }  # fmt: skip
    return Hasher(**plain | changes)


def make(bits: int, **changes: Any) -> HashHeadModel:
    return module(bits, **changes).model


@functools.cache
def hasher_module(bits: int) -> Hasher:
    torch.manual_seed(0)
    return module(bits).eval()


def hasher(bits: int) -> HashHeadModel:
    return hasher_module(bits).model


@functools.cache
def activations(bits: int) -> Tensor:
    with torch.inference_mode():
        found = hasher(bits)(PICTURES).activations
    assert found is not None
    return found


@LENGTHS
def test_activations_are_one_number_a_bit_between_0_and_1(bits: int) -> None:
    found = activations(bits)
    assert found.shape == (5, bits)
    assert found.dtype == torch.float32
    assert ((found > 0) & (found < 1)).all()
    assert hasher(bits).bits == bits


@LENGTHS
def test_a_code_has_a_one_where_the_activation_exceeds_the_threshold(bits: int) -> None:
    codes = encode(hasher(bits), PICTURES).codes
    assert codes is not None
    assert codes.shape == (5, -(-bits // 8))
    wanted = (activations(bits) > 0.5).numpy()
    unpacked = np.unpackbits(codes, axis=1, bitorder="little")
    assert np.array_equal(unpacked[:, :bits], wanted)
    assert not unpacked[:, bits:].any()


@torch.inference_mode()
def test_the_layers_are_linear_sigmoid_linear() -> None:
    model = hasher(7)
    features = model.backbone(PICTURES)
    hidden = 1 / (1 + (-(features @ model.hash_layer.weight.T + model.hash_layer.bias)).exp())
    answer = model(PICTURES)
    torch.testing.assert_close(answer.activations, hidden)
    torch.testing.assert_close(answer.logits, hidden @ model.head.weight.T + model.head.bias)


@torch.inference_mode()
def test_logits_know_the_picture_through_the_activations_alone() -> None:
    model = make(7).eval()
    model.hash_layer.weight.zero_()
    logits = model(PICTURES).logits
    assert torch.equal(logits, logits[:1].expand_as(logits))


def test_the_hash_layer_learns_through_the_softmax_loss() -> None:
    trained = module(7)
    trained.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    labels = torch.tensor([0, 1, 2, 0, 1])
    trained.training_step(Batch(PICTURES, labels, labels, labels)).backward()
    model = trained.model
    for name in ("hash_layer.weight", "hash_layer.bias", "head.weight", "backbone.network.conv1.weight"):
        gradient = model.get_parameter(name).grad
        assert gradient is not None
        assert gradient.abs().sum() > 0, name


@pytest.mark.parametrize("bits", [0, -3])
def test_a_code_without_bits_is_refused_with_the_way_out(bits: int) -> None:
    with pytest.raises(ValueError, match=rf"hash\.bits={bits}: give at least 1, or hash=none"):
        make(bits)


@LENGTHS
def test_its_checkpoint_opens_alone_and_answers_the_same_to_the_bit(bits: int, tmp_path: Path) -> None:
    save(hasher_module(bits), tmp_path / "hasher.ckpt")
    opened = load_model(tmp_path / "hasher.ckpt")
    again = Hasher.load_from_checkpoint(tmp_path / "hasher.ckpt", weights_only=True)
    assert dict(again.hparams) == dict(hasher_module(bits).hparams)
    assert again.model.fingerprint() == opened.fingerprint()
    with torch.inference_mode():
        before, after = hasher(bits)(PICTURES), opened(PICTURES)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_short_embedding_is_the_features_on_their_principal_axes() -> None:
    model = make(7, embedding_dim=5).eval()
    images = torch.randint(0, 256, (40, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        features = functional.normalize(model.backbone(images), dim=1)
        model.shorten(features)
        found = model(images).embedding
    centre, axes = principal_axes(features, 5)
    assert found.shape == (40, 5)
    assert torch.allclose(found, functional.normalize((features - centre) @ axes, dim=1), atol=1e-5)
    assert torch.allclose(found.norm(dim=1), torch.ones(40), atol=1e-5)


@pytest.mark.parametrize("length", [None, 512, 4096])
def test_an_embedding_no_shorter_than_the_features_is_the_features(length: int | None) -> None:
    model = make(7, embedding_dim=length).eval()
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    with torch.inference_mode():
        model.shorten(torch.full((4, 512), torch.nan))  # is not looked at
        assert torch.equal(model(images).embedding, functional.normalize(model.backbone(images), dim=1))


def test_axes_are_kept_in_the_weights() -> None:
    model, other = make(7, embedding_dim=5), make(7, embedding_dim=5)
    model.shorten(torch.randn(40, 512))
    assert model.fingerprint() != other.fingerprint()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.axes, model.axes)


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("bihalf", [False, True])
def test_with_every_loss_a_code_is_the_activations_above_its_threshold(loss: str, bihalf: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    made = module(13, loss=loss, bihalf=bihalf).eval()
    model = made.model
    with torch.inference_mode():
        answer = model(PICTURES)
    assert answer.activations is not None
    found = encode(model, PICTURES).codes
    assert found is not None
    bits = (answer.activations > model.threshold).numpy()
    assert np.array_equal(np.unpackbits(found, axis=1, bitorder="little", count=13), bits)
    save(made, tmp_path / "hasher.ckpt")
    with torch.inference_mode():
        again = load_model(tmp_path / "hasher.ckpt")(PICTURES)
    assert all(torch.equal(a, b) for a, b in zip(answer, again, strict=True))


@pytest.mark.parametrize("loss", sorted(LOSSES))
@pytest.mark.parametrize("items", [0.0, 0.5])
def test_hash_layer_and_head_learn_from_every_loss(loss: str, items: float) -> None:
    trained = module(13, loss=loss, item_weight=items)
    trained.log = lambda *args, **kwargs: None  # type: ignore[method-assign]
    labels = torch.tensor([0, 1, 2, 0, 0])
    trained.training_step(Batch(PICTURES, labels, labels, torch.tensor([0, 1, 2, 0, 1]))).backward()
    model = trained.model
    for parameter in [*model.head_parameters(), *model.backbone.parameters()]:
        assert parameter.grad is not None
        assert parameter.grad.isfinite().all()
    for name in ("hash_layer.weight", "head.weight", "backbone.network.conv1.weight"):
        assert model.get_parameter(name).grad.abs().sum() > 0, name  # type: ignore[union-attr]


def test_items_are_contrasted_on_activations_and_on_all_features() -> None:
    trained = module(13, item_weight=0.7, embedding_dim=5).eval()
    model = trained.model
    batch = Batch(PICTURES, torch.tensor([0, 1, 2, 0, 1]), torch.arange(5), torch.tensor([0, 1, 0, 1, 2]))
    answer = model(PICTURES)
    without = float(trained.loss_of(answer, batch).detach())  # pictures of val come in no pairs
    features = functional.normalize(model.backbone(PICTURES), dim=1)
    trained.training = model.training = True  # the mode of these modules alone: batch norms stay as they are
    answer = model(PICTURES)
    assert answer.activations is not None
    torch.testing.assert_close(answer.embedding, features)
    wanted = 0.7 * (contrast(answer.activations - 0.5, batch.items, 0.1) + contrast(features, batch.items, 0.1))
    assert float(trained.loss_of(answer, batch).detach()) - without == pytest.approx(float(wanted.detach()), rel=1e-4)


def test_bits_that_cannot_tell_the_categories_apart_are_told_of(caplog: pytest.LogCaptureFixture) -> None:
    make(2)
    assert not caplog.records
    make(1)
    assert "hash.bits=1: 2 codes cannot tell 3 categories apart" in caplog.text


@pytest.mark.parametrize("loss", ["csq", "orthohash"])
def test_bits_that_cannot_tell_the_categories_apart_are_refused(loss: str) -> None:
    with pytest.raises(ValueError, match=r"hash\.bits=1: 2 codes for 3 categories; give at least 2 bits"):
        make(1, loss=loss)


def test_where_items_are_learnt_the_last_epoch_is_kept() -> None:
    assert module(7).monitor == "hasher/val/accuracy"
    assert module(7, item_weight=0.5).monitor is None


def test_batches_of_one_have_no_halves(make_data: Callable[..., GarmentData]) -> None:
    with pytest.raises(ValueError, match=r"data\.batch_size=1: hash\.bihalf=true halves batches"):
        module(7, bihalf=True).batches(make_data(batch_size=1))
