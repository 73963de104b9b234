"""Networks of classifier and hash head: output, probabilities, fingerprint, initial weights."""

import copy
import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from fashion_lsh.data.dataset import Batch
from fashion_lsh.evaluation.protocol import encode_all
from fashion_lsh.models.checkpoints import load_model, save_model
from fashion_lsh.models.crop_model import CropModel
from fashion_lsh.models.encoding import encode
from fashion_lsh.training.classifier import Classifier
from fashion_lsh.training.crop_module import CropModule
from fashion_lsh.training.hash_head import Hasher
from tests.models.factories import arguments

NOTHING = Batch(*[torch.empty(0)] * 4)
BOTH = pytest.mark.parametrize("kind", [Classifier, Hasher])


@functools.cache
def _first(kind: type[CropModule]) -> CropModel:
    torch.manual_seed(0)
    return kind(**arguments(kind)).model.eval()  # type: ignore[arg-type]


def stage_of(kind: type[CropModule]) -> CropModel:
    """One with the same weights at every call, free to be changed."""
    return copy.deepcopy(_first(kind))


def pictures(batch: int = 4, size: int = 32, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (batch, 3, size, size), dtype=torch.uint8, generator=generator)


@BOTH
@torch.inference_mode()
def test_an_answer_has_float32_logits_and_embeddings_of_length_one(kind: type[CropModule]) -> None:
    answer = stage_of(kind)(pictures())
    assert answer.logits.shape == (4, 3)
    assert answer.embedding.shape == (4, 512)
    assert answer.logits.dtype == answer.embedding.dtype == torch.float32
    torch.testing.assert_close(answer.embedding.norm(dim=1), torch.ones(4))


@BOTH
@torch.inference_mode()
def test_the_embedding_is_the_backbones_and_knows_no_head(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    features = stage.backbone(pictures())
    for parameter in stage.head_parameters():
        parameter.zero_()
    wanted = features / features.pow(2).sum(1, keepdim=True).sqrt()
    torch.testing.assert_close(stage(pictures()).embedding, wanted)


@BOTH
@torch.inference_mode()
def test_a_picture_is_answered_alike_alone_and_in_company(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    together, alone = stage(pictures()), stage(pictures()[2:3])
    torch.testing.assert_close(together.logits[2:3], alone.logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.embedding[2:3], alone.embedding, rtol=1e-4, atol=1e-5)


@BOTH
@torch.inference_mode()
@pytest.mark.parametrize("value", [0, 255])
def test_an_empty_picture_is_answered_with_numbers(kind: type[CropModule], value: int) -> None:
    answer = stage_of(kind)(torch.full((1, 3, 32, 32), value, dtype=torch.uint8))
    assert answer.logits.isfinite().all()
    assert answer.embedding.isfinite().all()


@BOTH
@torch.inference_mode()
def test_masses_are_the_softmax_at_the_temperature(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    stage.temperature.fill_(2.5)
    logits = torch.tensor([[1.0, 2.0, 4.0], [0.0, 0.0, 0.0]])
    raised = (logits / 2.5).exp()
    torch.testing.assert_close(stage.masses(logits), raised / raised.sum(1, keepdim=True))


@BOTH
def test_crops_too_small_for_the_backbone_are_refused_before_the_first_epoch(kind: type[CropModule]) -> None:
    with pytest.raises(ValueError, match=r"data\.image_size=31: resnet18 needs at least 32 pixels; give larger crops"):
        kind(**arguments(kind, image_size=31))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"data\.image_size=62: alexnet needs at least 63"):
        kind(**arguments(kind, image_size=62, backbone="alexnet"))  # type: ignore[arg-type]


@pytest.mark.parametrize("other", [Classifier, Hasher])
@BOTH
def test_start_from_copies_the_backbone_and_nothing_else(kind: type[CropModule], other: type[CropModule]) -> None:
    stage, started = stage_of(other), stage_of(kind)
    for value in stage.state_dict().values():
        value.add_(1)
    before = copy.deepcopy(started.state_dict())
    assert started.start_from(stage) is started
    for name, value in started.state_dict().items():
        own = before[name] if not name.startswith("backbone.") else stage.state_dict()[name]
        assert torch.equal(value, own), name


def test_a_backbone_that_was_started_from_is_a_copy() -> None:
    stage = stage_of(Classifier)
    started = stage_of(Hasher).start_from(stage)
    with torch.no_grad():
        started.backbone.get_parameter("network.conv1.weight").add_(1)
    assert not torch.equal(started.backbone.network.conv1.weight, stage.backbone.network.conv1.weight)  # type: ignore[union-attr]


@BOTH
def test_any_weight_or_statistic_changes_the_fingerprint(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    before, state = stage.fingerprint(), {name: value for name, value in stage.state_dict().items() if value.numel()}
    for name in [*list(state)[:8], *list(state)[-9:]]:  # of every sort: buffers, weights, biases, statistics, counters
        kept = state[name].clone()
        state[name].view(-1)[-1] += 1
        assert stage.fingerprint() != before, name
        state[name].copy_(kept)
    assert stage.fingerprint() == before


@BOTH
@pytest.mark.parametrize("name", ["image_size", "margin", "threshold"])
def test_preprocessing_and_threshold_change_the_fingerprint(kind: type[CropModule], name: str) -> None:
    stage = stage_of(kind)
    before = stage.fingerprint()
    setattr(stage, name, getattr(stage, name) + 1)
    assert stage.fingerprint() != before


@pytest.mark.parametrize("name", ["backbone.mean", "backbone.std", "temperature"])
def test_normalisation_and_temperature_change_the_fingerprint(name: str) -> None:
    stage = stage_of(Hasher)
    before = stage.fingerprint()
    stage.get_buffer(name).mul_(1.001)
    assert stage.fingerprint() != before


def test_weights_that_change_places_change_the_fingerprint() -> None:
    stage = stage_of(Classifier)
    before, state = stage.fingerprint(), stage.state_dict()
    mean, std = state["backbone.mean"], state["backbone.std"]
    kept = mean.clone()
    mean.copy_(std)
    std.copy_(kept)
    assert stage.fingerprint() != before


@pytest.mark.parametrize("other", [torch.ones(1), torch.ones(()).view(torch.int32)], ids=["shape", "dtype"])
def test_the_same_bytes_in_another_shape_or_type_change_the_fingerprint(other: Tensor) -> None:
    stage = stage_of(Classifier)
    before = stage.fingerprint()
    stage.temperature = other
    assert stage.fingerprint() != before


def test_the_same_bytes_under_another_name_change_the_fingerprint() -> None:
    stage = stage_of(Classifier)
    before = stage.fingerprint()
    del stage.temperature
    stage.register_buffer("temperature_", torch.ones(()))
    assert stage.fingerprint() != before


@BOTH
def test_how_a_stage_is_used_does_not_change_its_fingerprint(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    before = stage.fingerprint()
    assert stage.train().fingerprint() == before
    assert stage.eval().requires_grad_(False).fingerprint() == before
    assert stage.to(memory_format=torch.channels_last).fingerprint() == before
    assert copy.deepcopy(stage).fingerprint() == before


@BOTH
def test_a_stage_that_was_saved_and_loaded_has_its_fingerprint(kind: type[CropModule], tmp_path: Path) -> None:
    save_model(stage := stage_of(kind), tmp_path / "stage.ckpt", arguments(kind))
    assert load_model(tmp_path / "stage.ckpt").fingerprint() == stage.fingerprint()


@BOTH
def test_the_head_parameters_are_all_but_the_backbone(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    wanted = {id(p) for name, p in stage.named_parameters() if not name.startswith("backbone.")}
    assert {id(p) for p in stage.head_parameters()} == wanted


@BOTH
def test_encoding_sets_evaluation_mode(kind: type[CropModule]) -> None:
    stage = stage_of(kind)
    wanted, before = encode(stage, pictures()), stage.fingerprint()
    for found in (
        encode(stage.train(), pictures()),
        encode_all(stage.train(), [NOTHING._replace(images=pictures())])[0],
    ):
        assert not stage.training
        assert stage.fingerprint() == before  # the statistics of batch norms among it
        for ours, theirs in zip(found, wanted, strict=True):
            assert (ours is None and theirs is None) or np.array_equal(ours, theirs)


@BOTH
def test_a_frozen_backbone_stays_as_it_is_while_the_head_learns(kind: type[CropModule]) -> None:
    stage = kind(**arguments(kind, frozen=True)).model  # type: ignore[arg-type]
    assert stage.training
    assert not stage.backbone.training
    before = {name: value.clone() for name, value in stage.state_dict().items()}
    chosen = torch.optim.SGD([p for p in stage.parameters() if p.requires_grad], lr=0.1)
    stage(pictures()).logits.square().sum().backward()
    chosen.step()
    changed = {name for name, value in stage.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert not [name for name in changed if name.startswith("backbone.")]  # batch norms' statistics neither
    assert not stage.eval().training
    assert not stage.train().backbone.training
    assert kind(**arguments(kind)).model.train().backbone.training  # type: ignore[arg-type]
