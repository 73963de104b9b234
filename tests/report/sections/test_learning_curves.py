"""Learning curves, joined over training sessions."""

import re
import shutil

from fashion_lsh.metrics.results import Result
from tests.report.factories import MakeRun, change_results
from tests.report.pages import read_page


def test_a_stage_not_trained_in_this_run_has_a_note_instead_of_a_plot(make_run: MakeRun) -> None:
    run = make_run()
    page = read_page(run)
    assert [text for text in page.texts_in("p") if "hash_head" in text]
    assert not [text for text in page.texts_in("p") if "classifier" in text and "train.log" in text]
    assert re.search(r"\blast epoch\b\D*\b0\.\d{3}\b", page.text)
    shutil.rmtree(run.path / "logs")
    assert [text for text in read_page(run).texts_in("p") if "classifier" in text and "train.log" in text]


def test_missing_logs_of_the_first_epochs_have_a_note(make_run: MakeRun) -> None:
    run = make_run()
    log = run.path / "logs" / "version_0" / "metrics.csv"
    lines = log.read_text().splitlines()
    log.write_text("\n".join([lines[0], *lines[3:]]))
    assert re.search(r"\bclassifier\b\D*\bepoch 2\b", read_page(run).text)


def test_log_versions_are_joined_in_numeric_order(make_run: MakeRun) -> None:
    run = make_run()
    for number, value in ((2, 0.7), (10, 0.9)):
        folder = run.path / "logs" / f"version_{number}"
        folder.mkdir()
        (folder / "metrics.csv").write_text(f"classifier/val/accuracy,epoch,step\n{value},1,23\n")
    assert re.search(r"\blast epoch\b\D*\b0\.900\b", read_page(run).text)


def test_the_caption_states_which_epoch_is_used(make_run: MakeRun) -> None:
    run = make_run()
    assert "weights of the last epoch are used" in read_page(run).text
    for epoch in (1, 2):  # the first is not the one with the highest accuracy
        best = Result("best_epoch", epoch, method="classifier", split="train")
        change_results(run, lambda rows, best=best: [*(row for row in rows if row.metric != "best_epoch"), best])
        text = read_page(run).text
        assert re.search(rf"weights of epoch {epoch} are used\D*\b0\.\d{{3}}\b", text)
        assert "last epoch" not in text
