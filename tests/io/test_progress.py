"""Progress: a bar on a terminal, log lines elsewhere, and the rate at the end."""

import logging
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from rich.console import Console

from fashion_lsh.io import progress as module
from fashion_lsh.io.progress import prefetch, progress, track


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    monkeypatch.setattr(module, "get_console", lambda: console)
    monkeypatch.setattr("rich.progress.get_console", lambda: console)
    return text


def test_a_terminal_shows_count_and_rate(terminal: StringIO) -> None:
    assert list(track([[1, 2], [3]], "encoding", 3, len)) == [[1, 2], [3]]
    assert "encoding" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert "/s" in terminal.getvalue()


def test_without_a_terminal_progress_is_logged(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0, 40.0, 40.0, 60.0, 100.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress("encoding gallery", 500) as step:
        step(100)  # at 20 s: too early for a log line
        step(100)  # at 40 s
        step(300)  # at 60 s: 20 s after the last line
    assert caplog.messages == [
        "encoding gallery: 200 of 500, 5 per second, 60 s left",
        "encoding gallery: 500 images in 100.0 s, 5 per second",
    ]


def test_short_work_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(track(iter([]), "opening images", 0, len)) == []
    assert not caplog.messages


def test_prefetch_holds_two_batches_at_most() -> None:
    started: list[int] = []

    def work(item: int) -> int:
        started.append(item)
        return 10 * item

    with ThreadPoolExecutor(1) as pool:
        batches = []
        for number, batch in enumerate(prefetch(pool, work, range(7), 3)):
            assert max(started) < 3 * (number + 2)
            batches.append(batch)
    assert batches == [[0, 10, 20], [30, 40, 50], [60]]
    assert started == list(range(7))
