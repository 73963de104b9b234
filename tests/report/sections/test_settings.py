"""All settings of a run."""

from fashion_lsh.report.run_data import read
from fashion_lsh.report.sections.settings import settings
from tests.report.factories import MakeRun


def test_settings_and_environment_are_flat_and_folded(make_run: MakeRun) -> None:
    config, environment = settings(read(make_run()))
    assert (config.folded, environment.folded) == ("config.yaml", "environment.json")
    assert dict(config.rows)["data.image_size"] == "32"
    assert dict(config.rows)["backbone.weights"] == "null"
    assert dict(environment.rows)["python"] == "3.11"
