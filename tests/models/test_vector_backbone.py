"""The backbone of vectors passes them on, and names wrong inputs."""

import pytest
import torch

from fashion_lsh.models.backbones import create_backbone
from fashion_lsh.models.hash_head import HashHeadModel

SPEC = {"_target_": "fashion_lsh.models.vector_backbone.VectorBackbone", "feature_dim": 6, "model": "abcdef"}


def test_vectors_are_passed_on_as_float32() -> None:
    vectors = torch.randn(3, 6).half()
    features = create_backbone(SPEC)(vectors)
    assert features.dtype == torch.float32
    assert torch.equal(features, vectors.float())


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 5)])
def test_images_and_other_lengths_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"length 6 of model abcdef") as error:
        create_backbone(SPEC)(torch.zeros(shape))
    assert str(shape) in str(error.value)


def test_hash_head_on_vectors() -> None:
    model = HashHeadModel(SPEC, ["a", "b"], 7, frozen=True).eval()
    assert model.load_weights(None) == "scratch (vectors)"
    output = model(torch.randn(4, 6))
    assert output.activations is not None
    assert (output.logits.shape, output.activations.shape, output.embedding.shape) == ((4, 2), (4, 7), (4, 6))
    with pytest.raises(ValueError, match=r"\(4, 3, 8, 8\)"):
        model(torch.zeros(4, 3, 8, 8))
