"""The doctor command finds what works and what is missing."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from fashion_lsh.cli import doctor
from fashion_lsh.models.backbones import packaged


def read_findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


def fail_to_import(name: str) -> None:
    raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_required_parts_work_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert doctor.main(["--json"]) == 0
    printed = capsys.readouterr().out
    assert "secret" not in printed
    findings = {finding["name"]: finding for finding in json.loads(printed)}
    assert {*doctor.REQUIRED, "devices", "disk", *doctor.WEIGHTS, "extra lite"} <= set(findings)
    assert findings["wandb login"]["status"] == "ok"
    assert findings["cache folder"]["value"].startswith(str(tmp_path))


def test_missing_parts_have_a_hint_and_required_ones_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # not a folder
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(doctor, "REQUIRED", ("torch", "no_such_library"))
    monkeypatch.setattr(doctor, "EXTRAS", {"lite": ("no_such_extra",)})
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e12)
    monkeypatch.setattr(packaged, "import_module", fail_to_import)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    assert doctor.main(["--json"]) == 1
    findings = read_findings(capsys)
    statuses = {name: finding["status"] for name, finding in findings.items()}
    failed = {name for name, status in statuses.items() if status == "failed"}
    assert failed == {"no_such_library", "disk", "cache folder"}
    assert {statuses[name] for name in ("wandb login", "extra lite", *doctor.WEIGHTS)} == {"missing"}
    assert all(finding["hint"] for finding in findings.values() if finding["status"] != "ok")


def test_weights_of_all_places_are_listed_with_their_sizes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = tmp_path / "hub/models--timm--resnet18.a1_in1k/snapshots/local"
    for folder in (tmp_path / "checkpoints", snapshot):
        folder.mkdir(parents=True)
    (tmp_path / "checkpoints/resnet18-f37072fd.pth").write_bytes(bytes(2_000_000))
    (snapshot / "model.safetensors").write_bytes(bytes(3_000_000))
    (snapshot / "README.md").write_text("not weights")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    doctor.main(["--json"])
    findings = read_findings(capsys)
    assert "efficientnet_lite2 (25 MB)" in findings["packaged weights"]["value"]
    assert findings["torch.hub weights"]["value"] == f"resnet18-f37072fd (2 MB) in {tmp_path / 'checkpoints'}"
    assert findings["Hugging Face weights"]["value"] == f"timm/resnet18.a1_in1k (3 MB) in {tmp_path / 'hub'}"


def test_mode_of_wandb_needs_no_login(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("WANDB_MODE", "offline")
    doctor.main(["--json"])
    login = read_findings(capsys)["wandb login"]
    assert (login["status"], "offline" in login["value"]) == ("ok", True)
