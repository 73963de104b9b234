"""Eight networks behind one face: what goes in, what comes out, and where weights may come from."""

import functools
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

from fashion_lsh.models.backbones import BACKBONES, Backbone, backbone, load_weights

FEATURE_DIMS = dict(zip(BACKBONES, (512, 512, 2048, 2048, 4096, 4096, 4096, 1024, 1280), strict=True))
QUICK = ("resnet18", "alexnet", "googlenet")  # files of the others: same code, a gigabyte of weights
FILED = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BACKBONES[:-1]]


@functools.cache
def trunk_of(name: str) -> Backbone:
    torch.manual_seed(0)
    return backbone(name)


def pictures(size: int | tuple[int, int], batch: int = 2) -> Tensor:
    height, width = (size, size) if isinstance(size, int) else size
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (batch, 3, height, width), dtype=torch.uint8, generator=generator)


def torchvision_network(name: str) -> nn.Module:
    """As torchvision builds it to train: with GoogLeNet's side heads, and batch statistics that are not 0 and 1."""
    torch.manual_seed(1)
    kind: dict[str, Any] = {"transform_input": True, "init_weights": True} if name == "googlenet" else {}
    network: nn.Module = models.get_model(name, weights=None, **kind)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
    return network.eval()


def normalised(images: Tensor) -> Tensor:
    """(B, 3, H, W) uint8 -> float32: the slow twin of the fused normalisation."""
    pixels: Tensor = normalize(images / 255, mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])
    return pixels


@torch.no_grad()
def torchvision_features(network: nn.Module, images: Tensor) -> Tensor:
    """Normalised the long way, features caught at the door of the last layer."""
    caught: list[Tensor] = []
    last = network.get_submodule("fc" if hasattr(network, "fc") else "classifier.6")
    handle = last.register_forward_pre_hook(lambda _, inputs: caught.append(inputs[0]))
    network(normalised(images))
    handle.remove()
    return caught[0]


def save(state: Any, path: Path) -> str:
    torch.save(state, path)
    return str(path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch.hub's folder for files of weights, empty."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


@torch.no_grad()
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", BACKBONES)
def test_one_vector_a_picture(name: str, training: bool) -> None:
    trunk = trunk_of(name).train(training)
    for size in (trunk.smallest, 64):
        features = trunk(pictures(size))
        assert features.shape == (2, trunk.feature_dim)
        assert features.dtype == torch.float32
        assert features.isfinite().all()


@pytest.mark.parametrize("name", BACKBONES)
def test_face(name: str) -> None:
    trunk = trunk_of(name)
    assert (trunk.name, trunk.feature_dim) == (name, FEATURE_DIMS[name])
    assert trunk.smallest == (63 if name == "alexnet" else 32)


@torch.no_grad()
@pytest.mark.parametrize("name", BACKBONES)
def test_bytes_and_floats_are_the_same_picture_and_pictures_do_not_meet(name: str) -> None:
    trunk = trunk_of(name).eval()
    images = pictures(64)
    features = trunk(images)
    assert torch.equal(features, trunk(images.float()))
    alone = torch.cat([trunk(images[:1]), trunk(images[1:])])
    spread = features.std().item()  # with fresh weights features of a deep trunk are of any size
    torch.testing.assert_close(features, alone, rtol=1e-3, atol=1e-3 * spread)
    assert (features[0] - features[1]).abs().max() > 10 * (features - alone).abs().max()


@torch.no_grad()
@settings(max_examples=15, deadline=None)
@given(st.integers(32, 80), st.integers(32, 80))
def test_sides_may_differ(height: int, width: int) -> None:
    trunk = trunk_of("resnet18").eval()
    images = pictures((height, width), batch=1)
    features = trunk(images)
    assert features.shape == (1, 512)
    torch.testing.assert_close(features, trunk.network(normalised(images)), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "shares"),
    [("resnet18", []), ("alexnet", [0.5, 0.5]), ("vgg16", [0.5, 0.5]), ("vgg16_bn", [0.5, 0.5]), ("googlenet", [0.2])],
)
def test_dropout_stays_as_torchvision_has_it(name: str, shares: list[float]) -> None:
    assert [module.p for module in trunk_of(name).modules() if isinstance(module, nn.Dropout)] == shares


def test_half_precision_around_it_stays_outside() -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert trunk_of("resnet18").eval()(pictures(32)).dtype == torch.float32


def test_same_seed_same_weights() -> None:
    torch.manual_seed(0)
    again = backbone("googlenet").state_dict()
    torch.manual_seed(0)
    assert all(torch.equal(value, again[name]) for name, value in backbone("googlenet").state_dict().items())


def test_building_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        backbone("googlenet")


def test_unknown_name_lists_the_known() -> None:
    with pytest.raises(ValueError, match=r"'resnet19' is unknown: give one of resnet18, .*efficientnet_lite0"):
        backbone("resnet19")


@pytest.mark.parametrize("name", BACKBONES)
def test_too_small_a_picture(name: str) -> None:
    trunk = trunk_of(name)
    below = trunk.smallest - 1
    message = f"{name} got images of 70 x {below} pixels: give at least {trunk.smallest} x {trunk.smallest}"
    with pytest.raises(ValueError, match=message):
        trunk(pictures((70, below)))


@pytest.mark.parametrize("name", ["alexnet", "vgg16", "vgg16_bn"])
def test_smallest_is_no_larger_than_it_must_be(name: str) -> None:
    trunk = trunk_of(name)
    with pytest.raises(RuntimeError, match="too small"):
        trunk.network(torch.zeros(2, 3, trunk.smallest - 1, trunk.smallest - 1))


@pytest.mark.parametrize("shape", [(3, 64, 64), (2, 1, 64, 64), (2, 64, 64, 3), (2, 3, 64, 64, 1)])
def test_wrong_shape(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"resnet18 got images of shape \(.*\): give \(B, 3, H, W\)"):
        trunk_of("resnet18")(torch.zeros(shape))


def test_no_weights_leave_the_trunk_alone() -> None:
    trunk = backbone("googlenet")
    before = {name: value.clone() for name, value in trunk.state_dict().items()}
    assert load_weights(trunk, None) == "scratch"
    assert all(torch.equal(value, before[name]) for name, value in trunk.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("name", FILED)
def test_torchvision_file_gives_torchvision_features(name: str, tmp_path: Path) -> None:
    network, trunk = torchvision_network(name), backbone(name).eval()
    assert load_weights(trunk, save(network.state_dict(), tmp_path / "theirs.pth")) == "theirs.pth"
    images = pictures(64)
    wanted = torchvision_features(network, images)
    torch.testing.assert_close(trunk(images), wanted, rtol=1e-3, atol=1e-4 * wanted.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_own_file_gives_the_same_features(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    first, second = backbone(name).eval(), backbone(name).eval()
    first.mean += 0.1  # preprocessing travels with the weights
    images = pictures(32)
    assert not torch.equal(first(images), second(images))
    load_weights(second, save(first.state_dict(), tmp_path / "ours.pth"))
    assert torch.equal(first(images), second(images))


def test_old_and_headless_files_are_taken(tmp_path: Path) -> None:
    state = torchvision_network("resnet18").state_dict()
    old = {name: value for name, value in state.items() if "num_batches" not in name and not name.startswith("fc.")}
    trunk = backbone("resnet18")
    load_weights(trunk, save(old, tmp_path / "old.pth"))
    assert torch.equal(trunk.state_dict()["network.layer4.1.bn2.running_var"], state["layer4.1.bn2.running_var"])


def test_file_of_another_network(tmp_path: Path) -> None:
    trunk = backbone("resnet18")
    before = trunk.network.get_parameter("conv1.weight").clone()
    path = save(torchvision_network("resnet34").state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(ValueError, match=r"resnet34.pth does not fit resnet18 \(\d+ misfits: layer1.2.bn1.bias is"):
        load_weights(trunk, path)
    assert torch.equal(trunk.network.get_parameter("conv1.weight"), before)


@pytest.mark.parametrize("ours", [True, False])
def test_file_with_missing_and_misshapen_weights(ours: bool, tmp_path: Path) -> None:
    state = (trunk_of("resnet18") if ours else torchvision_network("resnet18")).state_dict()
    prefix = "network." if ours else ""
    del state[f"{prefix}bn1.bias"]
    state[f"{prefix}conv1.weight"] = torch.zeros(64, 1, 7, 7)
    with pytest.raises(ValueError, match=r"2 misfits: bn1.bias is missing, conv1.weight is \(64, 1, 7, 7\), not"):
        load_weights(trunk_of("resnet18"), save(state, tmp_path / "broken.pth"))


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
def test_file_that_is_no_state_dict(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.pth"):
        load_weights(trunk_of("resnet18"), str(path))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_no_content_of_a_file_makes_it_stumble(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"noise\.pth"):
        load_weights(trunk_of("resnet18"), str(path))


@pytest.mark.parametrize("content", [{"epoch": 3, "state_dict": {}}, {0: torch.zeros(1)}, torch.zeros(1), None])
def test_other_content_is_no_state_dict(content: Any, tmp_path: Path) -> None:
    path = save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt holds more or other than a state dict"):
        load_weights(trunk_of("resnet18"), path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no weights at .*none\.pth: give .*weights=null"):
        load_weights(trunk_of("resnet18"), str(tmp_path / "none.pth"))


def test_imagenet_file_that_is_there_needs_no_network(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.hub, "load_state_dict_from_url")
    network = torchvision_network("googlenet")
    save(network.state_dict(), hub / "googlenet-1378be20.pth")
    trunk = backbone("googlenet").eval()
    assert load_weights(trunk, "imagenet") == "imagenet"
    images = pictures(32)
    torch.testing.assert_close(trunk(images), torchvision_features(network, images), rtol=1e-3, atol=1e-4)


def test_imagenet_is_downloaded_with_its_hash_checked(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision_network("resnet18").state_dict()
    calls: list[dict[str, Any]] = []

    def download(url: str, **options: Any) -> dict[str, Tensor]:
        calls.append({"file": url.rsplit("/", 1)[1], "waits": socket.getdefaulttimeout(), **options})
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    trunk = backbone("resnet18")
    assert load_weights(trunk, "imagenet") == "imagenet"
    assert torch.equal(trunk.network.get_parameter("conv1.weight"), state["conv1.weight"])
    assert [call["file"] for call in calls] == ["resnet18-f37072fd.pth"]
    assert calls[0]["check_hash"]
    assert calls[0]["weights_only"]
    assert 0 < calls[0]["waits"] <= 10
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError("timed out"), RuntimeError("invalid hash value")])
def test_imagenet_without_network(error: Exception, hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(FileNotFoundError) as caught:
        load_weights(trunk_of("resnet50"), "imagenet")
    for part in ("resnet50-11ad3fa6.pth", str(error), str(hub), "weights=null"):
        assert part in str(caught.value)
    assert socket.getdefaulttimeout() is None
