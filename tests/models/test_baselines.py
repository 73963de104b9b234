"""Codes that nothing is learnt for: what they are made of, and that they answer as the classifier they come from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.models.baselines import ITQ, LSH, Baseline, PredictedCategory
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.encoding import encode
from fashion_lsh.models.projection import hyperplanes, itq
from fashion_lsh.training.fitting import fit

Make = Callable[..., GarmentData]
PLAIN: dict[str, Any] = {
    "backbone": "resnet18", "categories": ["circle", "cross", "square"], "image_size": 32, "margin": 0.1,
}  # fmt: skip
PICTURES = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier() -> ClassifierModel:
    torch.manual_seed(0)
    return ClassifierModel(**PLAIN, frozen=False).eval()


def made(kind: type[Baseline], bits: int = 12) -> Baseline:
    further = {} if kind is PredictedCategory else {"bits": bits, "seed": 3}
    return kind(**PLAIN, embedding_dim=20, **further).start_from(classifier()).eval()  # type: ignore[arg-type]


@pytest.fixture
def settled(make_data: Make, tmp_path: Path, request: pytest.FixtureRequest) -> Baseline:
    return fit(made(request.param), make_data(), tmp_path, accelerator="cpu")


EACH = pytest.mark.parametrize("settled", [LSH, ITQ, PredictedCategory], indirect=True)


@EACH
def test_it_answers_as_its_classifier_and_its_checkpoint_as_itself(settled: Baseline, tmp_path: Path) -> None:
    with torch.inference_mode():
        answer, before = settled(PICTURES), classifier()(PICTURES)
        opened = load_model(tmp_path / "hasher.ckpt")(PICTURES)
    torch.testing.assert_close(answer.logits, before.logits)
    assert answer.embedding.shape == (9, 20)
    assert all(torch.equal(a, b) for a, b in zip(answer, opened, strict=True))
    assert "hasher/val/ece_after" in settled.facts


@EACH
def test_codes_are_as_long_as_it_says(settled: Baseline) -> None:
    codes = encode(settled, PICTURES).codes
    assert codes is not None
    assert codes.shape == (9, -(-settled.bits // 8))


@pytest.mark.parametrize("settled", [LSH, ITQ], indirect=True)
@torch.inference_mode()
def test_planes_are_fitted_to_the_embeddings_of_training_pictures(settled: LSH, make_data: Make) -> None:
    embeddings = torch.cat([settled(batch.images).embedding for batch in make_data().sample("train", 8 * 20)])
    if isinstance(settled, ITQ):
        mean, planes = itq(embeddings, 12, 3)
    else:
        mean, planes = embeddings.mean(dim=0), hyperplanes(20, 12, 3)
    torch.testing.assert_close(settled.mean, mean)
    torch.testing.assert_close(settled.planes, planes)
    answer = settled(PICTURES)
    torch.testing.assert_close(answer.activations, (answer.embedding - mean) @ planes)


@torch.inference_mode()
def test_the_predicted_category_is_the_only_bit() -> None:
    model = made(PredictedCategory)
    answer = model(PICTURES)
    assert answer.activations is not None
    assert model.bits == 3
    assert torch.equal(answer.activations, functional.one_hot(answer.logits.argmax(dim=1), 3).float())
    assert np.array_equal(encode(model, PICTURES).codes, 2 ** answer.logits.argmax(dim=1, keepdim=True).numpy())


def test_itq_refuses_more_bits_than_its_embedding_has_numbers() -> None:
    with pytest.raises(ValueError, match=r"hash\.bits=21: ITQ gives 20 bits at most"):
        made(ITQ, bits=21)
