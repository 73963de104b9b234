"""Backbones: input, features and loading of weights."""

import functools
import re
import socket
import warnings
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms.v2.functional import normalize

from fashion_lsh.models.backbones import BACKBONES, Backbone, create_backbone, load_weights

FEATURE_DIMS = dict(zip(BACKBONES, (512, 512, 2048, 2048, 4096, 4096, 4096, 1024, 1280), strict=True))
QUICK = ("resnet18", "alexnet", "googlenet")  # other backbones need a gigabyte of weights and test the same code
WEIGHT_FILES = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES[:-1]]


@functools.cache
def cached_backbone(name: str) -> Backbone:
    torch.manual_seed(0)
    return create_backbone(name)


def random_images(size: int | tuple[int, int], batch: int = 2) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)


def torchvision_network(name: str) -> nn.Module:
    """torchvision's network with random batch statistics; GoogLeNet with its auxiliary classifiers."""
    torch.manual_seed(1)
    options: dict[str, Any] = {"transform_input": True, "init_weights": True} if name == "googlenet" else {}
    network: nn.Module = models.get_model(name, weights=None, **options)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def normalised(images: Tensor) -> Tensor:
    """Reference of the fused normalisation.  (B, 3, H, W) uint8 -> float32."""
    pixels: Tensor = normalize(images / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    return pixels


@torch.no_grad()
def torchvision_features(network: nn.Module, images: Tensor) -> Tensor:
    """Input of the last layer of a torchvision network.  (B, 3, H, W) uint8 -> (B, D)."""
    features: list[Tensor] = []
    last = network.get_submodule("fc" if hasattr(network, "fc") else "classifier.6")
    handle = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    network(normalised(images))
    handle.remove()
    return features[0]


def save(state: Any, path: Path) -> str:
    torch.save(state, path)
    return str(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty checkpoint folder of torch.hub."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_gives_one_vector_per_image(name: str, training: bool) -> None:
    backbone = cached_backbone(name).train(training)
    for size in (backbone.min_size, 64):
        features = backbone(random_images(size))
        assert features.shape == (2, backbone.feature_dim)
        assert features.dtype == torch.float32
        assert features.isfinite().all()


@pytest.mark.parametrize("name", BACKBONES)
def test_backbone_attributes(name: str) -> None:
    backbone = cached_backbone(name)
    assert (backbone.name, backbone.feature_dim) == (name, FEATURE_DIMS[name])
    assert backbone.min_size == (63 if name == "alexnet" else 32)


@torch.no_grad()
@pytest.mark.parametrize("name", BACKBONES)
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


def test_unknown_backbone_lists_known_names() -> None:
    with pytest.raises(ValueError, match=r"backbone.name='resnet19'.*resnet18, .*efficientnet_lite0"):
        create_backbone("resnet19")


@pytest.mark.parametrize("name", BACKBONES)
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


def test_backbone_is_unchanged_without_weights() -> None:
    backbone = create_backbone("googlenet")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert load_weights(backbone, None) == "scratch"
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_torchvision_weights_give_torchvision_features(name: str, tmp_path: Path) -> None:
    network, backbone = torchvision_network(name), create_backbone(name).eval()
    assert load_weights(backbone, save(network.state_dict(), tmp_path / "theirs.pth")) == "theirs.pth"
    images = random_images(64)
    expected = torchvision_features(network, images)
    torch.testing.assert_close(backbone(images), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_state_dict_of_a_backbone_gives_the_same_features(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    first, second = create_backbone(name).eval(), create_backbone(name).eval()
    first.mean += 0.1  # the state dict includes the normalisation
    images = random_images(32)
    assert not torch.equal(first(images), second(images))
    load_weights(second, save(first.state_dict(), tmp_path / "ours.pth"))
    assert torch.equal(first(images), second(images))


def test_state_dicts_without_classifier_or_batch_counters_are_accepted(tmp_path: Path) -> None:
    state = torchvision_network("resnet18").state_dict()
    old = {name: value for name, value in state.items() if "num_batches" not in name and not name.startswith("fc.")}
    backbone = create_backbone("resnet18")
    load_weights(backbone, save(old, tmp_path / "old.pth"))
    assert torch.equal(backbone.state_dict()["network.layer4.1.bn2.running_var"], state["layer4.1.bn2.running_var"])


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    backbone = create_backbone("resnet18")
    before = backbone.network.get_parameter("conv1.weight").clone()
    path = save(torchvision_network("resnet34").state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(ValueError, match=r"resnet34\.pth.*resnet18.*layer1\.2\.bn1\.bias"):
        load_weights(backbone, path)
    assert torch.equal(backbone.network.get_parameter("conv1.weight"), before)


@pytest.mark.parametrize("has_prefix", [True, False])
def test_missing_weights_and_wrong_shapes_are_listed_in_the_error(has_prefix: bool, tmp_path: Path) -> None:
    state = (cached_backbone("resnet18") if has_prefix else torchvision_network("resnet18")).state_dict()
    prefix = "network." if has_prefix else ""
    del state[f"{prefix}bn1.bias"]
    state[f"{prefix}conv1.weight"] = torch.zeros(64, 1, 7, 7)
    with pytest.raises(ValueError, match=r"bn1\.bias.*conv1\.weight is \(64, 1, 7, 7\)"):
        load_weights(cached_backbone("resnet18"), save(state, tmp_path / "broken.pth"))


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
def test_file_that_is_not_a_state_dict_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.pth"):
        load_weights(cached_backbone("resnet18"), str(path))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_rejected(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"noise\.pth"):
        load_weights(cached_backbone("resnet18"), str(path))


@pytest.mark.parametrize("content", [{"epoch": 3, "state_dict": {}}, {0: torch.zeros(1)}, torch.zeros(1), None])
def test_other_pickled_content_is_rejected(content: Any, tmp_path: Path) -> None:
    path = save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        load_weights(cached_backbone("resnet18"), path)


def test_path_of_a_missing_weights_file_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: .*backbone\.weights"):
        load_weights(cached_backbone("resnet18"), str(tmp_path / "none.pth"))


def test_cached_imagenet_weights_need_no_network(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.hub, "load_state_dict_from_url")
    network = torchvision_network("googlenet")
    save(network.state_dict(), hub / "googlenet-1378be20.pth")
    backbone = create_backbone("googlenet").eval()
    assert load_weights(backbone, "imagenet") == "imagenet"
    images = random_images(32)
    torch.testing.assert_close(backbone(images), torchvision_features(network, images), rtol=1e-3, atol=1e-4)


def test_imagenet_download_checks_the_hash(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision_network("resnet18").state_dict()
    calls: list[dict[str, Any]] = []

    def download(url: str, **options: Any) -> dict[str, Tensor]:
        calls.append({"file": url.rsplit("/", 1)[1], "timeout": socket.getdefaulttimeout(), **options})
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    backbone = create_backbone("resnet18")
    assert load_weights(backbone, "imagenet") == "imagenet"
    assert torch.equal(backbone.network.get_parameter("conv1.weight"), state["conv1.weight"])
    assert [call["file"] for call in calls] == ["resnet18-f37072fd.pth"]
    assert calls[0]["check_hash"]
    assert calls[0]["weights_only"]
    assert 0 < calls[0]["timeout"] <= 10
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError("timed out"), RuntimeError("invalid hash value")])
def test_path_and_reason_are_in_the_error_if_the_download_fails(
    error: Exception, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(FileNotFoundError) as caught:
        load_weights(cached_backbone("resnet50"), "imagenet")
    for part in ("resnet50-11ad3fa6.pth", str(error), str(hub), "weights=null"):
        assert part in str(caught.value)
    assert socket.getdefaulttimeout() is None
