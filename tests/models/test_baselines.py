"""Baselines have their own codes, and the logits and embedding of the classifier."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fashion_lsh.data.datamodule import GarmentData
from fashion_lsh.models.baselines import ITQ, LSH, PCA, Baseline, PredictedCategory
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.models.classifier import ClassifierModel
from fashion_lsh.models.encoding import encode
from fashion_lsh.models.projection import fit_itq, fit_pca_rotation, random_hyperplanes
from fashion_lsh.training.fitting import fit

MakeData = Callable[..., GarmentData]
DEFAULTS: dict[str, Any] = {
    "backbone": "resnet18", "categories": ["circle", "cross", "square"], "image_size": 32, "margin": 0.1,
}  # fmt: skip
IMAGES = torch.randint(0, 256, (9, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def classifier() -> ClassifierModel:
    torch.manual_seed(0)
    return ClassifierModel(**DEFAULTS, frozen=False).eval()


def make_baseline(baseline_class: type[Baseline], bits: int = 12) -> Baseline:
    options = {} if baseline_class is PredictedCategory else {"bits": bits, "seed": 3}
    return baseline_class(**DEFAULTS, embedding_dim=20, **options).start_from(classifier()).eval()  # type: ignore[arg-type]


@pytest.fixture
def baseline(make_data: MakeData, tmp_path: Path, request: pytest.FixtureRequest) -> Baseline:
    return fit(make_baseline(request.param), make_data(), tmp_path, accelerator="cpu")


each_baseline = pytest.mark.parametrize("baseline", [LSH, PCA, ITQ, PredictedCategory], indirect=True)


@each_baseline
def test_baseline_equals_its_classifier_and_its_checkpoint(baseline: Baseline, tmp_path: Path) -> None:
    with torch.inference_mode():
        output, before = baseline(IMAGES), classifier()(IMAGES)
        loaded = load_model(tmp_path / "hash_head.ckpt")(IMAGES)
    torch.testing.assert_close(output.logits, before.logits)
    assert output.embedding.shape == (9, 20)
    assert all(torch.equal(a, b) for a, b in zip(output, loaded, strict=True))
    assert set(baseline.fit_metrics["hash_head"]) == {"val/accuracy", "val/ece_before", "val/ece_after"}


@each_baseline
def test_code_width_matches_bits(baseline: Baseline) -> None:
    codes = encode(baseline, IMAGES).codes
    assert codes is not None
    assert codes.shape == (9, -(-baseline.bits // 8))


@pytest.mark.parametrize("baseline", [LSH, PCA, ITQ], indirect=True)
@torch.inference_mode()
def test_hyperplanes_are_fitted_to_training_embeddings(baseline: LSH, make_data: MakeData) -> None:
    embeddings = torch.cat([baseline(batch.images).embedding for batch in make_data().loader("train", 8 * 20)])
    if isinstance(baseline, ITQ):
        mean, planes = fit_itq(embeddings, 12, 3)
    elif isinstance(baseline, PCA):
        mean, planes = fit_pca_rotation(embeddings, 12, 3)
    else:
        mean, planes = embeddings.mean(dim=0), random_hyperplanes(20, 12, 3)
    torch.testing.assert_close(baseline.mean, mean)
    torch.testing.assert_close(baseline.planes, planes)
    output = baseline(IMAGES)
    torch.testing.assert_close(output.activations, (output.embedding - mean) @ planes)


@torch.inference_mode()
def test_predicted_category_sets_a_single_bit() -> None:
    model = make_baseline(PredictedCategory)
    output = model(IMAGES)
    assert output.activations is not None
    assert model.bits == 3
    assert torch.equal(output.activations, functional.one_hot(output.logits.argmax(dim=1), 3).float())
    assert np.array_equal(encode(model, IMAGES).codes, 2 ** output.logits.argmax(dim=1, keepdim=True).numpy())


@pytest.mark.parametrize("baseline_class", [PCA, ITQ])
def test_more_bits_than_embedding_dimensions_are_rejected(baseline_class: type[Baseline]) -> None:
    with pytest.raises(ValueError, match=r"hash\.bits=21: .*\b20\b"):
        make_baseline(baseline_class, bits=21)
