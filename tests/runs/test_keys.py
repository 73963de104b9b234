"""Keys of runs and stages."""

import json
from pathlib import Path

import pytest

from fashion_lsh.runs.config import meant
from fashion_lsh.runs.keys import portable, run_key, stage_keys
from tests.test_conf import settings

DATA = "9cd95c85"  # checksum of the data


def test_a_job_is_found_by_its_command_on_any_machine(tmp_path: Path) -> None:
    jobs = [(crop, seed) for crop in ("annotated", "detected", "whole") for seed in (0, 1, 2)]
    for crop, seed in jobs:
        config = meant(settings("experiment=crops", f"crop={crop}", f"seed={seed}"))
        (tmp_path / f"{run_key(config, DATA)}.json").write_text(json.dumps(portable(config)))
    assert len(list(tmp_path.iterdir())) == len(jobs)
    for crop, seed in jobs:
        here = ("runs=elsewhere", "jobs=elsewhere", "name=other", "data.workers=3")
        config = meant(settings("experiment=crops", f"crop={crop}", f"seed={seed}", *here))
        kept = json.loads((tmp_path / f"{run_key(config, DATA)}.json").read_text())
        assert (kept["crop"]["mode"], kept["seed"]) == (crop, seed)


@pytest.mark.parametrize("key", ["detector.mirrored=true", "detector.ratios=[1.0]"])
def test_settings_of_detection_alone_change_no_stage_key_of_the_detector(key: str) -> None:
    plain, other = (settings("crop=detected", *typed) for typed in ([], [key]))
    assert run_key(plain, "") != run_key(other, "")
    changed = {stage for stage, own in stage_keys(plain, "").items() if own != stage_keys(other, "")[stage]}
    assert changed == {"boxes", "classifier", "hasher"} | ({"detector"} if "ratios" in key else set())
    assert set(stage_keys(settings(), "")) == {"classifier", "hasher"}
