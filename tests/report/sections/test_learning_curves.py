"""Learning curves, joined over the sittings of a fit."""

import shutil

from tests.report.factories import MakeRun
from tests.report.pages import page_of


def test_a_stage_not_fitted_in_this_run_has_a_note_instead_of_a_plot(make_run: MakeRun) -> None:
    run = make_run()
    page = page_of(run)
    assert "No curves of the hash_head: it was not fitted here" in page.text
    assert "Best on validation: 0.625, in epoch 2" in page.text
    shutil.rmtree(run.path / "logs")
    assert "No curves of the classifier: it was not fitted here" in page_of(run).text


def test_a_note_is_written_where_the_first_logs_of_a_fit_are_missing(make_run: MakeRun) -> None:
    run = make_run()
    log = run.path / "logs" / "version_0" / "metrics.csv"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], *lines[3:]]))
    assert "The logs of the classifier begin in epoch 2" in page_of(run).text


def test_log_versions_are_joined_in_numeric_order(make_run: MakeRun) -> None:
    run = make_run()
    for number, value in ((2, 0.7), (10, 0.9)):
        folder = run.path / "logs" / f"version_{number}"
        folder.mkdir()
        (folder / "metrics.csv").write_text(f"classifier/val/accuracy,epoch,step\n{value},1,23\n")
    assert "Best on validation: 0.900, in epoch 2" in page_of(run).text
