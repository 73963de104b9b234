"""Networks of timm: features, normalisation, groups of parameters and weights of the library."""

from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import save_file
from timm.data import resolve_data_config

from fashion_lsh.models.backbones import create_backbone, load_weights
from fashion_lsh.models.backbones.files import hugging_face_weights
from fashion_lsh.models.checkpoints import load_model
from fashion_lsh.training.classifier import Classifier
from tests.models.backbones.factories import random_images
from tests.models.factories import make_arguments, save

REPOSITORY = "timm/resnet18.a1_in1k"  # of the default weights of resnet18


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty cache of Hugging Face without network."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def lay_snapshot(cache: Path, repository: str) -> Path:
    """Folder of a repository in the cache, as docs/backbones.md describes it."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("local")
    (folder / "snapshots/local").mkdir(parents=True)
    return folder / "snapshots/local"


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "mobilenetv3_small_050"])
def test_features_equal_timm(name: str) -> None:
    torch.manual_seed(0)
    backbone = create_backbone(f"timm/{name}", 64).eval()
    images = random_images(64)
    options = {"img_size": 64} if "vit" in name else {}
    network = timm.create_model(name, num_classes=0, **options).eval()
    network.load_state_dict(backbone.network.state_dict())
    settings = resolve_data_config({}, model=network)
    mean, std = (torch.tensor(settings[key]).view(3, 1, 1) for key in ("mean", "std"))
    expected = network((images / 255 - mean) / std)
    torch.testing.assert_close(backbone(images), expected, rtol=1e-4, atol=1e-4)
    assert backbone.feature_dim == expected.shape[1]
    assert backbone.default_size == 224


def test_tag_selects_the_normalisation() -> None:
    names = ("vit_base_patch16_siglip_224.webli", "vit_base_patch16_clip_224.openai")
    means = [timm.get_pretrained_cfg(name).mean for name in names]
    backbones = [create_backbone(f"timm/{name}", 32) for name in names]
    assert means[0] != means[1]
    for backbone, mean in zip(backbones, means, strict=True):
        assert backbone.mean.flatten().tolist() == pytest.approx(mean)


def test_vision_transformer_refuses_images_of_another_size() -> None:
    backbone = create_backbone("timm/vit_tiny_patch16_224", 64)
    with pytest.raises(ValueError, match=r"96 x 96 pixels: timm/vit_tiny_patch16_224 .*data\.image_size=64"):
        backbone(random_images(96))


def test_groups_of_parameters_follow_the_depth() -> None:
    backbone = create_backbone("timm/vit_tiny_patch16_224", 64)
    groups, network = backbone.parameter_groups(), backbone.network
    depth = {id(parameter): number for number, group in enumerate(groups) for parameter in group}
    assert depth[id(network.patch_embed.proj.weight)] == depth[id(network.pos_embed)] == 0
    blocks = [depth[id(block.attn.qkv.weight)] for block in network.blocks]
    assert blocks == sorted(set(blocks))
    assert depth[id(network.norm.weight)] == len(groups) - 1
    assert len(depth) == len(list(backbone.parameters()))


def test_cached_weights_of_hugging_face_need_no_network(cache: Path) -> None:
    network = timm.create_model("resnet18")  # with classifier
    save_file(network.state_dict(), lay_snapshot(cache, REPOSITORY) / "model.safetensors")
    for weights in ("pretrained", "imagenet"):
        backbone = create_backbone("timm/resnet18", 64)
        assert load_weights(backbone, weights) == weights
        assert torch.equal(backbone.network.conv1.weight, network.conv1.weight)


def test_file_of_the_second_format_is_found(cache: Path) -> None:
    folder = lay_snapshot(cache, "owner/encoder")
    torch.save({"weight": torch.ones(2)}, folder / "pytorch_model.bin")
    file, state = hugging_face_weights("owner/encoder", ("model.safetensors", "pytorch_model.bin"))
    assert file == folder / "pytorch_model.bin"
    assert state["weight"].tolist() == [1, 1]


def test_missing_weights_name_the_place_for_the_file(cache: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        load_weights(create_backbone("timm/resnet18", 64), "pretrained")
    folder = cache / "models--timm--resnet18.a1_in1k"
    for text in (f"{folder}/snapshots/REVISION/model.safetensors", f"{folder}/refs/main", "backbone.weights"):
        assert text in str(caught.value)


def test_imagenet_is_refused_for_weights_of_other_images() -> None:
    backbone = create_backbone("timm/vit_small_patch14_dinov2.lvd142m", 56)
    with pytest.raises(ValueError, match=r"backbone\.weights=imagenet: .*lvd142m.*pretrained"):
        load_weights(backbone, "imagenet")


def test_checkpoint_opens_without_weights_file_and_network(cache: Path, tmp_path: Path) -> None:
    """A saved model contains all weights and the normalisation."""
    module = Classifier(**make_arguments(Classifier, backbone="timm/vit_tiny_patch16_224", image_size=64))
    module.model.backbone.mean += 0.1
    save(module, tmp_path / "classifier.ckpt")
    loaded = load_model(tmp_path / "classifier.ckpt", "cpu")
    assert loaded.backbone.name == "timm/vit_tiny_patch16_224"
    assert loaded.fingerprint() == module.model.fingerprint()
