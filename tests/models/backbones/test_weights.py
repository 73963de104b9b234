"""Weights: files of torchvision, timm and OpenCLIP, and files that do not fit."""

import socket
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor

from fashion_lsh.models.backbones import create_backbone, load_weights
from tests.models.backbones.factories import (
    cached_backbone,
    random_images,
    save,
    torchvision_features,
    torchvision_network,
)

QUICK = ("resnet18", "alexnet", "googlenet")  # other backbones need a gigabyte of weights and test the same code
WEIGHT_FILES = [*QUICK, *(pytest.param(name, marks=pytest.mark.slow) for name in ("resnet50", "vgg16", "vgg16_bn"))]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Empty checkpoint folder of torch.hub."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def test_backbone_is_unchanged_without_weights() -> None:
    backbone = create_backbone("googlenet")
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    assert load_weights(backbone, None) == "scratch"
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@torch.no_grad()
@pytest.mark.parametrize("name", WEIGHT_FILES)
def test_torchvision_weights_give_torchvision_features(name: str, tmp_path: Path) -> None:
    network, backbone = torchvision_network(name), create_backbone(name).eval()
    assert load_weights(backbone, save(network.state_dict(), tmp_path / "theirs.pth")) == "theirs.pth"
    images = random_images(64)
    expected = torchvision_features(network, images)
    torch.testing.assert_close(backbone(images), expected, rtol=1e-3, atol=1e-4 * expected.abs().max().item())


@torch.no_grad()
@pytest.mark.parametrize("name", ["resnet18", "googlenet"])
def test_state_dict_of_a_backbone_gives_the_same_features(name: str, tmp_path: Path) -> None:
    torch.manual_seed(2)
    first, second = create_backbone(name).eval(), create_backbone(name).eval()
    first.mean += 0.1  # the state dict includes the normalisation
    images = random_images(32)
    assert not torch.equal(first(images), second(images))
    load_weights(second, save(first.state_dict(), tmp_path / "ours.pth"))
    assert torch.equal(first(images), second(images))


def test_state_dicts_without_classifier_or_batch_counters_are_accepted(tmp_path: Path) -> None:
    state = torchvision_network("resnet18").state_dict()
    old = {name: value for name, value in state.items() if "num_batches" not in name and not name.startswith("fc.")}
    backbone = create_backbone("resnet18")
    load_weights(backbone, save(old, tmp_path / "old.pth"))
    assert torch.equal(backbone.state_dict()["network.layer4.1.bn2.running_var"], state["layer4.1.bn2.running_var"])


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    backbone = create_backbone("resnet18")
    before = backbone.network.get_parameter("conv1.weight").clone()
    path = save(torchvision_network("resnet34").state_dict(), tmp_path / "resnet34.pth")
    with pytest.raises(ValueError, match=r"resnet34\.pth.*resnet18.*layer1\.2\.bn1\.bias"):
        load_weights(backbone, path)
    assert torch.equal(backbone.network.get_parameter("conv1.weight"), before)


@pytest.mark.parametrize("has_prefix", [True, False])
def test_missing_weights_and_wrong_shapes_are_listed_in_the_error(has_prefix: bool, tmp_path: Path) -> None:
    state = (cached_backbone("resnet18") if has_prefix else torchvision_network("resnet18")).state_dict()
    prefix = "network." if has_prefix else ""
    del state[f"{prefix}bn1.bias"]
    state[f"{prefix}conv1.weight"] = torch.zeros(64, 1, 7, 7)
    with pytest.raises(ValueError, match=r"bn1\.bias.*conv1\.weight is \(64, 1, 7, 7\)"):
        load_weights(cached_backbone("resnet18"), save(state, tmp_path / "broken.pth"))


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04 cut off", b"\x80\x02}q\x00."])
def test_file_that_is_not_a_state_dict_is_rejected(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"odd\.pth"):
        load_weights(cached_backbone("resnet18"), str(path))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200))
def test_arbitrary_bytes_are_rejected(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.getbasetemp() / "noise.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"noise\.pth"):
        load_weights(cached_backbone("resnet18"), str(path))


@pytest.mark.parametrize("content", [{"epoch": 3, "state_dict": {}}, {0: torch.zeros(1)}, torch.zeros(1), None])
def test_other_pickled_content_is_rejected(content: Any, tmp_path: Path) -> None:
    path = save(content, tmp_path / "last.ckpt")
    with pytest.raises(ValueError, match=r"last\.ckpt"):
        load_weights(cached_backbone("resnet18"), path)


def test_path_of_a_missing_weights_file_is_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.pth: .*backbone\.weights"):
        load_weights(cached_backbone("resnet18"), str(tmp_path / "none.pth"))


def test_cached_imagenet_weights_need_no_network(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.hub, "load_state_dict_from_url")
    network = torchvision_network("googlenet")
    save(network.state_dict(), hub / "googlenet-1378be20.pth")
    backbone = create_backbone("googlenet").eval()
    assert load_weights(backbone, "imagenet") == "imagenet"
    images = random_images(32)
    torch.testing.assert_close(backbone(images), torchvision_features(network, images), rtol=1e-3, atol=1e-4)


def test_imagenet_download_checks_the_hash(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = torchvision_network("resnet18").state_dict()
    calls: list[dict[str, Any]] = []

    def download(url: str, **options: Any) -> dict[str, Tensor]:
        calls.append({"file": url.rsplit("/", 1)[1], "timeout": socket.getdefaulttimeout(), **options})
        return state

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", download)
    backbone = create_backbone("resnet18")
    assert load_weights(backbone, "imagenet") == "imagenet"
    assert torch.equal(backbone.network.get_parameter("conv1.weight"), state["conv1.weight"])
    assert [call["file"] for call in calls] == ["resnet18-f37072fd.pth"]
    assert calls[0]["check_hash"]
    assert calls[0]["weights_only"]
    assert 0 < calls[0]["timeout"] <= 10
    assert list(hub.iterdir()) == []


@pytest.mark.parametrize("error", [URLError("no route"), TimeoutError("timed out"), RuntimeError("invalid hash value")])
def test_path_and_reason_are_in_the_error_if_the_download_fails(
    error: Exception, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", fail)
    with pytest.raises(FileNotFoundError) as caught:
        load_weights(cached_backbone("resnet50"), "imagenet")
    for part in ("resnet50-11ad3fa6.pth", str(error), str(hub), "weights=null"):
        assert part in str(caught.value)
    assert socket.getdefaulttimeout() is None


def openclip_state(network: dict[str, Tensor]) -> dict[str, Tensor]:
    """State dict of an OpenCLIP model around an image encoder, with text encoder and projection."""
    others = {"logit_scale": torch.ones(()), "logit_bias": torch.ones(()), "text.token_embedding": torch.ones(9, 4),
              "text.transformer.resblocks.0.ln_1.weight": torch.ones(4), "visual.head.proj.weight": torch.ones(4, 4),
              "text.norm.weight": torch.ones(4)}  # fmt: skip
    return {f"visual.trunk.{name}": value for name, value in network.items()} | others


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    "name",
    [
        "timm/vit_tiny_patch16_224",
        "timm/convnext_atto",
        pytest.param("timm/vit_base_patch16_siglip_224", marks=pytest.mark.slow),
    ],
)
def test_image_encoder_of_openclip_is_loaded(name: str, suffix: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    network = timm.create_model(name.removeprefix("timm/"))  # at 224 pixels, with classifier
    state, file = openclip_state(network.state_dict()), tmp_path / f"open_clip_model{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(state, file)
    same_size, smaller = create_backbone(name, 224), create_backbone(name, 64)
    assert load_weights(same_size, str(file)) == file.name
    expected = network.state_dict()
    assert all(torch.equal(value, expected[key]) for key, value in same_size.network.state_dict().items())
    load_weights(smaller, str(file))  # the position embedding of a ViT is interpolated
    if "vit" in name:
        assert smaller.network.pos_embed.shape[1] < expected["pos_embed"].shape[1]
    assert torch.equal(list(smaller.network.parameters())[-1], list(same_size.network.parameters())[-1])


OPENAI_NAMES = {
    "cls_token": "class_embedding", "pos_embed": "positional_embedding", "patch_embed.proj": "conv1",
    "norm_pre": "ln_pre", "norm.": "ln_post.", "blocks": "transformer.resblocks", "attn.qkv.": "attn.in_proj_",
    "attn.proj": "attn.out_proj", "mlp.fc1": "mlp.c_fc", "mlp.fc2": "mlp.c_proj", "norm1": "ln_1", "norm2": "ln_2",
}  # fmt: skip


@pytest.mark.slow
def test_image_encoder_of_clip_is_loaded(tmp_path: Path) -> None:
    network = create_backbone("timm/vit_base_patch32_clip_224", 64).network
    state = {"logit_scale": torch.ones(()), "visual.proj": torch.ones(768, 512)}
    for name, value in network.state_dict().items():
        for timm_name, clip_name in OPENAI_NAMES.items():
            name = name.replace(timm_name, clip_name)
        state[f"visual.{name}"] = value.squeeze(0).squeeze(0) if name.endswith("embedding") else value
    backbone = create_backbone("timm/vit_base_patch32_clip_224", 64)
    load_weights(backbone, save(state, tmp_path / "clip.pth"))
    assert all(torch.equal(value, network.state_dict()[name]) for name, value in backbone.network.state_dict().items())


def test_position_embedding_of_torchvision_is_interpolated(tmp_path: Path) -> None:
    state = create_backbone("torchvision/vit_b_32", 96).network.state_dict()
    backbone = create_backbone("torchvision/vit_b_32", 64)
    load_weights(backbone, save(state, tmp_path / "vit.pth"))
    assert torch.equal(backbone.network.get_parameter("conv_proj.weight"), state["conv_proj.weight"])
    position = backbone.network.get_parameter("encoder.pos_embedding")
    assert torch.equal(position[:, :1], state["encoder.pos_embedding"][:, :1])


def test_file_that_fits_only_partly_is_refused_with_the_number_of_misfits(tmp_path: Path) -> None:
    """ConvNeXt-V2 has the tensors of ConvNeXt, further ones, and no layer scale."""
    state = timm.create_model("convnext_atto").state_dict()
    backbone = create_backbone("timm/convnextv2_atto", 64)
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    missing = len(backbone.network.state_dict().keys() - state.keys())
    unknown = len({name for name in state if not name.startswith("head.")} - backbone.network.state_dict().keys())
    with pytest.raises(ValueError, match=rf"convnext\.pth: .*convnextv2_atto \({missing + unknown} mismatches"):
        load_weights(backbone, save(state, tmp_path / "convnext.pth"))
    assert all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@settings(max_examples=20, deadline=None)
@given(removed=st.sets(st.integers(0, 119), min_size=1, max_size=30), prefix=st.sampled_from(["", "visual.trunk."]))
def test_every_missing_tensor_is_counted(
    removed: set[int], prefix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    backbone = cached_backbone("resnet18")
    names = [name for name in backbone.network.state_dict() if "num_batches" not in name]
    missing = {names[number % len(names)] for number in removed}
    state = {f"{prefix}{name}": value for name, value in backbone.network.state_dict().items() if name not in missing}
    path = save(state, tmp_path_factory.getbasetemp() / "partial.pth")
    with pytest.raises(ValueError, match=rf"partial\.pth: .*\({len(missing)} mismatches"):
        load_weights(backbone, path)
