"""Networks of torchvision: input, features, dropout and random initialisation."""

import re
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from fashion_lsh.models.backbones import create_backbone
from tests.models.backbones.factories import cached_backbone, normalised, random_images

FEATURE_DIMS = {"resnet18": 512, "resnet34": 512, "resnet50": 2048, "resnet101": 2048, "alexnet": 4096, "vgg16": 4096,
                "vgg16_bn": 4096, "googlenet": 1024, "efficientnet_lite0": 1280}  # fmt: skip
NAMES = list(FEATURE_DIMS)


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_backbone_gives_one_vector_per_image(name: str, training: bool) -> None:
    backbone = cached_backbone(name).train(training)
    for size in (backbone.min_size, 64):
        features = backbone(random_images(size))
        assert features.shape == (2, backbone.feature_dim)
        assert features.dtype == torch.float32
        assert features.isfinite().all()


@pytest.mark.parametrize("name", NAMES)
def test_backbone_attributes(name: str) -> None:
    backbone = cached_backbone(name)
    assert (backbone.name, backbone.feature_dim) == (name, FEATURE_DIMS[name])
    assert backbone.min_size == (63 if name == "alexnet" else 32)


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_features_do_not_depend_on_dtype_or_batch(name: str) -> None:
    backbone = cached_backbone(name).eval()
    images = random_images(64)
    features = backbone(images)
    assert torch.equal(features, backbone(images.float()))
    one_by_one = torch.cat([backbone(images[:1]), backbone(images[1:])])
    spread = features.std().item()  # the scale of features differs between random networks
    torch.testing.assert_close(features, one_by_one, rtol=1e-3, atol=1e-3 * spread)
    assert (features[0] - features[1]).abs().max() > 10 * (features - one_by_one).abs().max()


@torch.no_grad()
@settings(max_examples=15, deadline=None)
@given(st.integers(32, 80), st.integers(32, 80))
def test_non_square_images_are_accepted(height: int, width: int) -> None:
    backbone = cached_backbone("resnet18").eval()
    images = random_images((height, width), batch=1)
    features = backbone(images)
    assert features.shape == (1, 512)
    torch.testing.assert_close(features, backbone.network(normalised(images)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "rates"),
    [("resnet18", []), ("alexnet", [0.5, 0.5]), ("vgg16", [0.5, 0.5]), ("vgg16_bn", [0.5, 0.5]), ("googlenet", [0.2])],
)
def test_dropout_rates_equal_torchvision(name: str, rates: list[float]) -> None:
    assert [module.p for module in cached_backbone(name).modules() if isinstance(module, nn.Dropout)] == rates


def test_features_are_float32_under_autocast() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert cached_backbone("resnet18").eval()(random_images(32)).dtype == torch.float32


def test_same_seed_gives_the_same_weights() -> None:
    torch.manual_seed(0)
    second = create_backbone("googlenet").state_dict()
    torch.manual_seed(0)
    assert all(torch.equal(value, second[name]) for name, value in create_backbone("googlenet").state_dict().items())


def test_create_backbone_emits_no_warning() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        create_backbone("googlenet")


@pytest.mark.parametrize("name", NAMES)
def test_too_small_image_is_rejected(name: str) -> None:
    backbone = cached_backbone(name)
    below = backbone.min_size - 1
    with pytest.raises(ValueError, match=rf"70 x {below} pixels: {name} .*data\.image_size"):
        backbone(random_images((70, below)))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg16_bn"])
def test_network_fails_for_images_below_min_size(name: str) -> None:
    backbone = cached_backbone(name)
    with pytest.raises(RuntimeError, match="too small"):
        backbone.network(torch.zeros(2, 3, backbone.min_size - 1, backbone.min_size - 1))


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64), (2, 64, 64, 3), (2, 3, 64, 64, 1)])
def test_wrong_shape_is_rejected(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape(str(shape))):
        cached_backbone("resnet18")(torch.zeros(shape))
