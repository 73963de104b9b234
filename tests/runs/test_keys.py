"""The names of what was made before stay what they were."""

import json
from pathlib import Path
from typing import Any

import pytest

from fashion_lsh.runs.config import meant
from fashion_lsh.runs.keys import NEUTRAL, run_key, stage_keys
from tests.test_conf import settings

JOBS = Path(__file__).parents[2] / "experiments/crops/jobs"
SPLITS = "9cd95c8531152c87ac2644b0002967dd44219cd6a6acf0eef6b19b1aa95ec6cf"  # checksum of their data, shop_street
ADDED = [(group, name, value) for group, neutral in NEUTRAL.items() for name, value in neutral.items()]


def without(config: dict[str, Any], group: str, name: str) -> dict[str, Any]:
    return {**config, group: {key: value for key, value in config[group].items() if key != name}}


@pytest.mark.parametrize("crop", ["annotated", "detected", "whole"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_job_that_was_kept_is_found_by_its_command(crop: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fashion_lsh.runs.keys.__version__", "0.3.0")  # that made it
    config = meant(settings("experiment=crops", f"crop={crop}", f"seed={seed}"))
    kept = json.loads((JOBS / f"{run_key(config, SPLITS)}.json").read_text())
    assert (kept["settings"]["crop"]["mode"], kept["settings"]["seed"]) == (crop, seed)
    assert SPLITS.startswith(kept["data"])


@pytest.mark.parametrize(("group", "name", "value"), ADDED)
def test_a_setting_that_came_later_changes_names_only_where_it_changes_something(
    group: str, name: str, value: Any
) -> None:
    plain = without(settings("detector=small"), group, name)
    same, other = ({**plain, group: {**plain[group], name: each}} for each in (value, "another"))
    assert run_key(same, "") == run_key(plain, "") != run_key(other, "")
    assert stage_keys(same, "") == stage_keys(plain, "")
    assert (stage_keys(other, "") != stage_keys(plain, "")) == (group in ("detector", "hash"))
    changed = stage_keys(other, "")["detector"] != stage_keys(plain, "")["detector"]
    assert changed == (name == "ratios")  # `mirrored` is how it looks, not what it has learnt
    assert run_key({**plain, "hash": None}, "")  # a group that is not there
