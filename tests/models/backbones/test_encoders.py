"""Many encoders: each one gives features, trains a classifier and a hash head, and detects if its maps have levels."""

import re

import pytest
import torch

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones import Backbone
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.detector import DetectorModel
from fashion_lsh.models.hash_head import HashHeadModel

QUICK = ("timm/resnet18", "timm/convnext_atto", "timm/vit_tiny_patch16_224", "timm/mobilenetv3_small_050",
         "torchvision/shufflenet_v2_x0_5", "torchvision/googlenet")  # fmt: skip
NO_LEVELS = {  # networks with one size of feature maps, or of one image size: no detector
    "timm/vit_tiny_patch16_224": 64, "timm/vit_base_patch32_clip_224": 64, "timm/vit_base_patch16_siglip_224": 64,
    "timm/vit_small_patch14_dinov2": 56, "timm/eva02_tiny_patch14_224": 56, "timm/deit_tiny_patch16_224": 64,
    "timm/beit_base_patch16_224": 64, "timm/swin_tiny_patch4_window7_224": 64, "timm/mixer_s32_224": 64,
    "timm/xcit_nano_12_p16_224": 64, "timm/cait_xxs24_224": 64, "timm/levit_128s": 64, "timm/convmixer_768_32": 56,
    "torchvision/vit_b_32": 64,
}  # fmt: skip
LEVELS = (
    "timm/resnet18", "timm/convnext_atto", "timm/convnextv2_atto", "timm/mobilenetv3_small_050", "timm/efficientnet_b0",
    "timm/regnetx_002", "timm/densenet121", "timm/hrnet_w18_small", "timm/ghostnet_050", "timm/mobilevit_xxs",
    "timm/pvt_v2_b0", "timm/poolformer_s12", "timm/fastvit_t8", "timm/edgenext_xx_small", "timm/res2net50_26w_4s",
    "timm/starnet_s1", "timm/mambaout_femto", "timm/lcnet_035", "torchvision/resnet18",
    "torchvision/mobilenet_v3_small", "torchvision/efficientnet_b0", "torchvision/squeezenet1_1", "efficientnet_lite1",
)  # fmt: skip
OTHERS = ("torchvision/shufflenet_v2_x0_5", "torchvision/googlenet")  # no feature maps
SIZES = dict.fromkeys(LEVELS + OTHERS, 64) | NO_LEVELS


def marked(names: list[str]) -> list[object]:
    return [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names]


@pytest.mark.parametrize("name", marked(list(SIZES)))
def test_encoder_trains_classifier_and_hash_head(name: str) -> None:
    size = SIZES[name]
    torch.manual_seed(0)
    images = torch.randint(0, 256, (2, 3, size, size), dtype=torch.uint8)
    for model in (ClassifierModel(name, ["coat", "dress"], image_size=size),
                  HashHeadModel(name, ["coat", "dress"], image_size=size, bits=8)):  # fmt: skip
        check_features(model.backbone, images)
        check_gradients(model, images)


def check_features(backbone: Backbone, images: torch.Tensor) -> None:
    with torch.no_grad():
        features = backbone.eval()(images)
    assert features.shape == (len(images), backbone.feature_dim)
    assert features.dtype == torch.float32
    assert features.isfinite().all()
    assert backbone.default_size >= 224
    groups, parameters = backbone.parameter_groups(), list(backbone.parameters())
    assert len(groups) > 4
    assert sorted(id(each) for group in groups for each in group) == sorted(map(id, parameters))
    assert id(next(each for each in parameters if each.ndim == 4)) in map(id, groups[0])  # first convolution
    assert id(parameters[-1]) in map(id, groups[-1])


def check_gradients(model: CropModel, images: torch.Tensor) -> None:
    output = model.train()(images)
    loss = output.logits.square().sum() + (0 if output.activations is None else output.activations.square().sum())
    loss.backward()
    gradients = [each.grad for each in model.backbone.parameters() if each.grad is not None]
    assert gradients
    assert all(each.isfinite().all() for each in gradients)
    assert any(each.abs().sum() > 0 for each in gradients)


@pytest.mark.parametrize("name", marked(list(LEVELS)))
def test_encoder_with_levels_trains_a_detector(name: str) -> None:
    torch.manual_seed(0)
    model = DetectorModel(name, ["garment"], channels=8, head=16, proposals=(20, 10), roi_batch_size=8)
    boxes, labels = torch.tensor([[5.0, 5.0, 60.0, 60.0]]), torch.ones(1, dtype=torch.int64)
    losses = model.train().losses([torch.rand(3, 96, 64)] * 2, [{"boxes": boxes, "labels": labels}] * 2)
    torch.stack(list(losses.values())).sum().backward()
    trained = [each for each in model.parameters() if each.requires_grad]
    assert all(each.grad is not None for each in trained)
    assert all(each.grad.isfinite().all() for each in trained if each.grad is not None)


@pytest.mark.parametrize("name", marked([*NO_LEVELS, *OTHERS]))
def test_encoder_without_levels_is_refused_as_detector(name: str) -> None:
    [network] = re.findall(r"\w+$", name)
    with pytest.raises(ComponentError, match=rf"detector\.backbone=(timm/)?{network}: .*resnet50"):
        DetectorModel(name, ["garment"])


def test_list_has_thirty_encoders_of_fifteen_families() -> None:
    from timm.models import model_entrypoint

    families = {model_entrypoint(name.removeprefix("timm/")).__module__ for name in SIZES if name.startswith("timm/")}
    assert len(SIZES) >= 30
    assert len(families) >= 15
