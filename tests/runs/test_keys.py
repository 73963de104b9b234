"""Keys of runs and stages."""

import json
from pathlib import Path

import pytest

from fashion_lsh.runs.config import resolve_config
from fashion_lsh.runs.keys import canonical_config, run_key, stage_keys
from tests.test_conf import compose_config

DATA_CHECKSUM = "9cd95c85"


def test_run_key_does_not_depend_on_the_machine(tmp_path: Path) -> None:
    jobs = [(crop, seed) for crop in ("annotated", "detected", "whole") for seed in (0, 1, 2)]
    for crop, seed in jobs:
        config = resolve_config(compose_config("experiment=crops", f"crop={crop}", f"seed={seed}"))
        (tmp_path / f"{run_key(config, DATA_CHECKSUM)}.json").write_text(json.dumps(canonical_config(config)))
    assert len(list(tmp_path.iterdir())) == len(jobs)
    for crop, seed in jobs:
        machine_overrides = ("runs=elsewhere", "jobs=elsewhere", "name=other", "data.workers=3")
        config = resolve_config(compose_config("experiment=crops", f"crop={crop}", f"seed={seed}", *machine_overrides))
        job = json.loads((tmp_path / f"{run_key(config, DATA_CHECKSUM)}.json").read_text())
        assert (job["crop"]["mode"], job["seed"]) == (crop, seed)


@pytest.mark.parametrize("override", ["detector.flip_tta=true", "detector.ratios=[1.0]"])
def test_inference_options_do_not_change_the_detector_key(override: str) -> None:
    base, other = (compose_config("crop=detected", *overrides) for overrides in ([], [override]))
    assert run_key(base, "") != run_key(other, "")
    changed = {stage for stage, key in stage_keys(base, "").items() if key != stage_keys(other, "")[stage]}
    assert changed == {"detections", "classifier", "hash_head"} | ({"detector"} if "ratios" in override else set())
    assert set(stage_keys(compose_config(), "")) == {"classifier", "hash_head"}
