"""Config and environment of a run."""

from fashion_lsh.report.run_data import read_run_data
from fashion_lsh.report.sections.settings import settings
from tests.report.factories import MakeRun


def test_settings_and_environment_are_flattened_and_collapsed(make_run: MakeRun) -> None:
    config, environment = settings(read_run_data(make_run()))
    assert (config.summary, environment.summary) == ("config.yaml", "environment.json")
    assert dict(config.rows)["data.image_size"] == "32"
    assert dict(config.rows)["backbone.weights"] == "null"
    assert dict(environment.rows)["python"] == "3.11"
