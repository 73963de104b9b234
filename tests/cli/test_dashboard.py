"""The dashboard command."""

import pytest
import wandb

from fashion_lsh.cli import dashboard
from fashion_lsh.tracking import wandb_workspace


def test_dashboard_without_login_is_rejected(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(wandb, "login", lambda **_: False)
    monkeypatch.setattr(wandb, "Api", lambda: pytest.fail("wandb was called"))
    assert dashboard.main(["clothes"]) == 1
    message = capsys.readouterr().err
    assert "clothes" in message
    assert "wandb login" in message


@pytest.mark.parametrize("project", ["", "a/b/c", "e/", "/p", "two words"])
def test_invalid_project_is_rejected(project: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        dashboard.main([project])
    assert f"{project!r}: not a project name" in capsys.readouterr().err


@pytest.fixture(autouse=True)
def _online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)


def test_offline_mode_is_rejected(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert dashboard.main(["clothes"]) == 1
    assert "WANDB_MODE=offline: workspace of clothes" in capsys.readouterr().err


@pytest.mark.parametrize(("project", "entity"), [("clothes", "me"), ("team/clothes", "team")])
def test_workspace_is_saved_when_logged_in(project: str, entity: str, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[tuple[str, str]] = []
    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb, "Api", lambda: type("Api", (), {"default_entity": "me"}))
    monkeypatch.setattr(wandb_workspace.ws.Workspace, "save", lambda self: saved.append((self.entity, self.project)))
    assert dashboard.main([project]) == 0
    assert saved == [(entity, "clothes")]


def test_wandb_error_is_reported(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def reject(self: object) -> None:
        raise wandb.errors.CommError("no such project")

    monkeypatch.setattr(wandb, "login", lambda **_: True)
    monkeypatch.setattr(wandb_workspace.ws.Workspace, "save", reject)
    assert dashboard.main(["me/clothes"]) == 1
    assert "me/clothes: workspace not saved: no such project" in capsys.readouterr().err
