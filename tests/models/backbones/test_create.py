"""Backbones by name: libraries, short names, unknown names and default sizes."""

import pytest
import torch

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones import Backbone, create_backbone
from fashion_lsh.models.backbones.create import default_image_size


@pytest.mark.parametrize(
    ("spec", "module"),
    [
        ("resnet18", "torchvision"),
        ("torchvision/resnet18", "torchvision"),
        ("timm/resnet18", "timm"),
        ("timm/resnet18.tv_in1k", "timm"),
        ("convnext_atto", "timm"),  # unknown to torchvision
        ("efficientnet_lite1", "timm"),
    ],
)
def test_library_of_a_name(spec: str, module: str) -> None:
    backbone = create_backbone(spec, 64)
    assert type(backbone.network).__module__.partition(".")[0] == module
    assert backbone.name.removeprefix("timm/") == spec.rpartition("/")[2]


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("resnet19", ["torchvision/resnet18", "timm/resnet18"]),
        ("timm/convnext_tinny", ["timm/convnext_tiny"]),
        ("torchvision/convnext_atto", ["torchvision/convnext_base"]),
        ("keras/resnet18", ["timm/resnet18"]),
        ("timm/resnet18.unknown", ["unknown", "a1_in1k"]),
        ("timm/zzzzzzzz", ["timm.list_models()", "module.Class"]),
    ],
)
def test_unknown_name_is_an_error_with_similar_names(spec: str, words: list[str]) -> None:
    with pytest.raises(ComponentError, match=r"backbone\.name=") as caught:
        create_backbone(spec)
    assert all(word in str(caught.value) for word in [spec.rpartition("/")[2], *words])


def test_key_of_the_setting_is_in_the_error() -> None:
    with pytest.raises(ComponentError, match=r"detector\.backbone='resnet19'"):
        create_backbone("resnet19", key="detector.backbone")


@pytest.mark.parametrize(
    ("spec", "size"),
    [("resnet18", 224), ("inception_v3", 299), ("timm/vit_small_patch14_dinov2", 518), ("efficientnet_lite2", 260),
     ("timm/vit_base_patch16_clip_384.laion2b_ft_in1k", 384),
     ({"_target_": "fashion_lsh.models.vector_backbone.VectorBackbone", "feature_dim": 4}, 224)],
)  # fmt: skip
def test_default_image_size_is_that_of_the_weights(spec: str, size: int) -> None:
    assert default_image_size(spec) == size


@pytest.mark.parametrize("spec", ["resnet18", "timm/resnet18", "timm/vit_tiny_patch16_224", "efficientnet_lite0"])
def test_creating_depends_only_on_the_seed(spec: str) -> None:
    states, draws = [], []
    for size in (64, 96) if "vit" not in spec else (64, 64):
        torch.manual_seed(0)
        states.append(create_backbone(spec, size).state_dict())
        draws.append(torch.rand(1).item())
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
    assert draws[0] == draws[1]


def test_measuring_a_network_draws_no_random_numbers() -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("resnet18", num_classes=0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    backbone = create_backbone("timm/resnet18", 64)
    assert torch.equal(torch.rand(1), expected)
    assert backbone.training
    assert all(module.training for module in backbone.modules())
    for name, value in network.state_dict().items():
        assert torch.equal(value, backbone.network.state_dict()[name])


class Sized(Backbone):
    """Own class that receives the size of the images."""

    def __init__(self, image_size: int) -> None:
        super().__init__("sized", torch.nn.Flatten(), 3 * image_size**2, 8, fixed_size=image_size)


def test_own_class_receives_the_size_of_the_images() -> None:
    backbone = create_backbone(f"{__name__}.Sized", 16)
    assert backbone(torch.zeros(2, 3, 16, 16)).shape == (2, 768)
    with pytest.raises(ValueError, match=r"8 x 8 pixels: sized .*16 x 16"):
        backbone(torch.zeros(2, 3, 8, 8))
