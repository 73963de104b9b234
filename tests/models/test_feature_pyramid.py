"""Feature pyramid: levels of networks of both libraries, frozen levels and weights."""

from pathlib import Path

import pytest
import timm
import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.models.feature_pyramid import FeaturePyramid

NETWORKS = ("resnet18", "timm/resnet18", "efficientnet_lite0", "timm/convnext_atto", "torchvision/mobilenet_v3_small")


class Stages(Backbone):
    """Own backbone with three feature maps, two of them of the same size, and a layer without effect on them."""

    def __init__(self) -> None:
        network = nn.ModuleDict({"stem": nn.Conv2d(3, 4, 4, stride=4), "same": nn.Conv2d(4, 6, 1),
                                 "down": nn.Conv2d(6, 8, 2, stride=2), "unused": nn.Linear(8, 8)})  # fmt: skip
        super().__init__("stages", network, 8, 32)

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        stem = self.network.get_submodule("stem")(images)
        same = self.network.get_submodule("same")(stem)
        return [stem, same, self.network.get_submodule("down")(same)]


@pytest.mark.parametrize("backbone", NETWORKS)
def test_feature_maps_have_strides_4_to_32(backbone: str) -> None:
    pyramid = FeaturePyramid(backbone, 8).eval()
    with torch.inference_mode():
        maps = list(pyramid(torch.zeros(1, 3, 64, 96)).values())
    assert len(maps) == pyramid.num_levels + 1
    assert {each.shape[1] for each in maps} == {8}
    assert [tuple(each.shape[2:]) for each in maps[:4]] == [(64 // stride, 96 // stride) for stride in (4, 8, 16, 32)]


def test_levels_are_the_last_maps_of_each_size() -> None:
    body = FeaturePyramid(f"{__name__}.Stages", 8, num_levels=2).body
    assert body.channels == [6, 8]
    assert isinstance(body.backbone.network.get_submodule("unused"), nn.Identity)
    assert body.parameter_levels == [0, 0, 0, 0, 1, 1]
    assert FeaturePyramid(f"{__name__}.Stages", 8, num_levels=1).body.channels == [8]


def test_maps_of_a_level_equal_the_stage_of_the_network() -> None:
    torch.manual_seed(0)
    images, network = torch.rand(1, 3, 64, 64), timm.create_model("resnet18").eval()
    pyramid = FeaturePyramid("timm/resnet18", 8).eval()
    pyramid.body.backbone.network.load_state_dict(network.state_dict(), strict=False)
    network.fc = nn.Identity()
    hidden = network.maxpool(network.act1(network.bn1(network.conv1(images))))
    for name, stage in zip("0123", (network.layer1, network.layer2, network.layer3, network.layer4), strict=True):
        hidden = stage(hidden)
        torch.testing.assert_close(pyramid.body(images)[name], hidden)


@pytest.mark.parametrize("backbone", NETWORKS)
def test_frozen_levels_are_the_finest(backbone: str) -> None:
    body = FeaturePyramid(backbone, 8, frozen_levels=2).body
    for parameter, level in zip(body.backbone.parameters(), body.parameter_levels, strict=True):
        assert parameter.requires_grad == (level >= 2)
    assert set(body.parameter_levels) == {0, 1, 2, 3}
    assert body.parameter_levels[0] == 0


def test_too_few_levels_are_an_error() -> None:
    with pytest.raises(ComponentError, match=r"detector\.backbone=stages: .* 2 .*detector\.levels=3"):
        FeaturePyramid(f"{__name__}.Stages", 8, num_levels=3)
    with pytest.raises(ValueError, match=r"detector\.frozen=3: stages .*\b2\b"):
        FeaturePyramid(f"{__name__}.Stages", 8, frozen_levels=3, num_levels=2)


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_lite0"])
def test_weights_reach_every_layer_of_the_levels(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = resnet18() if backbone == "resnet18" else timm.create_model("tf_efficientnet_lite0")
    torch.save(network.state_dict(), tmp_path / "weights.pth")
    pyramid = FeaturePyramid(backbone, 8)
    assert pyramid.load_weights(None) == "scratch"
    assert pyramid.load_weights(str(tmp_path / "weights.pth")) == "weights.pth"
    expected = network.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in pyramid.body.backbone.network.state_dict().items())
