"""Measured properties of networks: length of the features and accepted sizes."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from fashion_lsh.io.targets import ComponentError
from fashion_lsh.models.backbones.create import create_backbone
from fashion_lsh.models.backbones.probe import MIN_SIZE, ImageSizeError, check_size, feature_length, min_size


class Limited(nn.Module):
    """Network that accepts only sizes from `smallest`."""

    def __init__(self, smallest: int) -> None:
        super().__init__()
        self.smallest, self.calls = smallest, 0

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        if images.shape[-1] < self.smallest:
            raise RuntimeError("output size is too small")
        return images.mean(dim=(2, 3))


@given(st.integers(MIN_SIZE, 224), st.integers(0, 100))
def test_min_size_equals_a_linear_search(smallest: int, above: int) -> None:
    network = Limited(smallest)
    assert min_size(network, smallest + above) == smallest
    assert network.calls <= 10


@given(st.integers(1, 300), st.sampled_from([1, 4, 14, 16, 32]))
def test_size_is_a_multiple_of_the_patches(size: int, multiple: int) -> None:
    if size >= MIN_SIZE and size % multiple == 0:
        return check_size("vit", size, multiple)
    with pytest.raises(ImageSizeError, match=rf"data\.image_size={size}\b.*\bvit\b") as caught:
        check_size("vit", size, multiple)
    if size >= MIN_SIZE:
        named = [int(each) for each in str(caught.value).partition("; set ")[2].split(" or ")]
        assert all(each % multiple == 0 and abs(each - size) < multiple for each in named)
    return None


@pytest.mark.parametrize(
    ("name", "size", "words"),
    [
        ("alexnet", 40, ["alexnet", "63"]),
        ("inception_v3", 64, ["inception_v3", "75"]),
        ("timm/vit_small_patch14_dinov2", 64, ["56", "70"]),
        ("timm/convnext_atto", 72, ["64", "96"]),
        ("torchvision/vit_b_32", 72, ["64", "96"]),
        ("torchvision/maxvit_t", 64, ["224"]),
        ("resnet18", 31, ["32"]),
        ("timm/resnet18", 31, ["32"]),
    ],
)
def test_size_that_does_not_fit_is_refused_with_sizes_that_do(name: str, size: int, words: list[str]) -> None:
    with pytest.raises(ImageSizeError, match=rf"data\.image_size={size}\b") as caught:
        create_backbone(name, size)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize("size", [64, 96])
def test_accepted_size_uses_all_pixels(size: int) -> None:
    """The last row and column of an image have an effect on the features."""
    backbone = create_backbone("timm/convnext_atto", size).eval()
    images = torch.zeros(1, 3, size, size, requires_grad=True)
    features = backbone(images)
    (features * torch.arange(features.shape[1])).sum().backward()
    assert images.grad is not None
    assert images.grad[0, :, -1].abs().sum() > 0
    assert images.grad[0, :, :, -1].abs().sum() > 0


@pytest.mark.parametrize(("network", "text"), [(nn.Conv2d(3, 4, 3), r"\(1, 4, 62, 62\)"), (nn.Linear(3, 4), "shape")])
def test_network_that_gives_no_vectors_is_refused(network: nn.Module, text: str) -> None:
    with pytest.raises(ComponentError, match=rf"backbone\.name=own: .*{text}"):
        feature_length("own", network, 64)
