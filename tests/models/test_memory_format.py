"""channels_last is used where it pays, and changes neither values nor fingerprints."""

import pytest
import torch

from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.memory_format import use_inference_format, use_training_format


def make_model(name: str) -> ClassifierModel:
    torch.manual_seed(0)
    return ClassifierModel(name, ["a", "b"], image_size=64).eval()


def is_channels_last(model: ClassifierModel) -> bool:
    """True if all convolutions with several input channels and pixels are channels_last."""
    weights = [p for p in model.parameters() if p.ndim == 4 and p.shape[1] > 1 and p.shape[2] > 1]
    assert weights
    return all(p.is_contiguous(memory_format=torch.channels_last) for p in weights)


@pytest.mark.parametrize(("name", "in_training"), [
    ("resnet18", False), ("efficientnet_lite0", True), ("timm/convnext_atto", False)])  # fmt: skip
def test_format_of_training_and_inference(name: str, in_training: bool) -> None:
    model = make_model(name)
    assert not is_channels_last(model)
    use_training_format(model)
    assert is_channels_last(model) == in_training
    use_inference_format(model)
    assert is_channels_last(model)


def test_values_and_fingerprint_do_not_depend_on_the_format() -> None:
    model, other = make_model("resnet18"), make_model("resnet18")
    use_inference_format(other)
    assert model.fingerprint() == other.fingerprint()
    images = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for one, two in zip(model(images), other(images), strict=True):
            if one is not None:
                torch.testing.assert_close(one, two, atol=1e-4, rtol=1e-4)
    model.load_state_dict(other.state_dict())
    assert not is_channels_last(model)
