"""The doctor command finds what works and what is missing."""

import json
from pathlib import Path

import pytest

from fashion_lsh.cli import doctor


def read_findings(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {finding["name"]: finding for finding in json.loads(capsys.readouterr().out)}


def test_required_parts_work_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_API_KEY", "secret")
    assert doctor.main(["--json"]) == 0
    printed = capsys.readouterr().out
    assert "secret" not in printed
    findings = {finding["name"]: finding for finding in json.loads(printed)}
    assert {*doctor.REQUIRED, "devices", "disk", "weights", "extra lite"} <= set(findings)
    assert findings["wandb login"]["status"] == "ok"
    assert findings["cache folder"]["value"].startswith(str(tmp_path))


def test_missing_parts_have_a_hint_and_required_ones_fail(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # not a folder
    monkeypatch.setenv("NETRC", str(tmp_path / "no netrc"))
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setattr(doctor, "REQUIRED", ("torch", "no_such_library"))
    monkeypatch.setattr(doctor, "EXTRAS", {"lite": ("no_such_extra",)})
    monkeypatch.setattr(doctor, "MIN_FREE_GB", 1e12)
    assert doctor.main(["--json"]) == 1
    findings = read_findings(capsys)
    statuses = {name: finding["status"] for name, finding in findings.items()}
    failed = {name for name, status in statuses.items() if status == "failed"}
    assert failed == {"no_such_library", "disk", "cache folder"}
    assert {statuses[name] for name in ("wandb login", "extra lite", "weights")} == {"missing"}
    assert all(finding["hint"] for finding in findings.values() if finding["status"] != "ok")
