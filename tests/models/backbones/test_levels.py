"""Levels append means of feature maps or tokens to the features, which stay unchanged."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import Tensor, nn

from fashion_lsh.models.backbones import Backbone, create_backbone
from fashion_lsh.models.backbones.levels import find_levels, mean_vector
from fashion_lsh.models.vector_backbone import VectorBackbone

IMAGES = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def forward(backbone: Backbone, images: Tensor = IMAGES) -> Tensor:
    with torch.inference_mode():
        return backbone.eval()(images)


def test_resnet_has_the_means_of_its_maps() -> None:
    backbone = create_backbone("resnet18", 64)
    outputs: dict[str, Tensor] = {}
    for name in ("layer1", "layer2", "layer3"):
        layer = backbone.network.get_submodule(name)
        layer.register_forward_hook(lambda _module, _inputs, output, name=name: outputs.update({name: output}))
    base = forward(backbone)
    expected = torch.cat([each.mean(dim=(2, 3)) for each in outputs.values()], dim=1)
    backbone.add_levels(64)
    features = forward(backbone)
    assert features.shape == (3, backbone.feature_dim)
    assert torch.equal(features[:, :512], base)
    torch.testing.assert_close(features[:, -expected.shape[1] :], expected)


@pytest.mark.parametrize("name", ["alexnet", "googlenet", "timm/vit_tiny_patch16_224", "timm/convnext_atto"])
def test_other_families_have_levels(name: str) -> None:
    backbone = create_backbone(name, 64)
    base, length = forward(backbone), backbone.feature_dim
    backbone.add_levels(64)
    features = forward(backbone)
    assert backbone.feature_dim > length
    assert features.shape == (3, backbone.feature_dim)
    assert torch.equal(features[:, :length], base)


def test_copies_and_threads_have_their_own_levels() -> None:
    backbone = create_backbone("resnet18", 64)
    backbone.add_levels(64)
    expected = [forward(backbone, IMAGES[[row]]) for row in range(3)]
    for other in (copy.deepcopy(backbone), pickle.loads(pickle.dumps(backbone))):
        assert torch.equal(forward(other, IMAGES[[0]]), expected[0])
        assert other.recorder is not backbone.recorder
    with ThreadPoolExecutor(3) as pool:
        rows = [row % 3 for row in range(30)]
        found = list(pool.map(lambda row: forward(backbone, IMAGES[[row]]), rows))
    assert all(torch.equal(each, expected[row]) for each, row in zip(found, rows, strict=True))
    assert backbone.recorder is not None
    assert not backbone.recorder.means


def test_vectors_have_no_levels() -> None:
    backbone = VectorBackbone(5)
    backbone.add_levels(64)
    assert backbone.feature_dim == 5


def test_levels_do_not_repeat_the_features() -> None:
    blocks: dict[str, nn.Module] = {"first": nn.Conv2d(3, 4, 3, stride=2), "second": nn.Conv2d(4, 6, 3, stride=2)}
    pooled = nn.Sequential(*blocks.values(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    assert find_levels(pooled, blocks, 32) == {"first": 4}
    flat = nn.Sequential(*blocks.values(), nn.AdaptiveAvgPool2d(2), nn.Flatten())
    assert find_levels(flat, blocks, 32) == {"first": 4, "second": 6}


def test_means_of_tokens_and_of_both_layouts_of_maps() -> None:
    maps = torch.randn(2, 5, 4, 4)
    expected = maps.mean(dim=(2, 3))
    torch.testing.assert_close(mean_vector(maps), expected)
    torch.testing.assert_close(mean_vector(maps.permute(0, 2, 3, 1)), expected)
    torch.testing.assert_close(mean_vector(maps.flatten(2).transpose(1, 2)), expected)
