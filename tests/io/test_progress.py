"""Progress bar on a terminal, and log lines elsewhere."""

import logging
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from rich.console import Console

from fashion_lsh.io import progress as module
from fashion_lsh.io.progress import prefetch, progress, track


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    output = StringIO()
    console = Console(file=output, force_terminal=True, width=100)
    monkeypatch.setattr(module, "get_console", lambda: console)
    monkeypatch.setattr("rich.progress.get_console", lambda: console)
    return output


def test_a_terminal_shows_count_and_rate(terminal: StringIO) -> None:
    assert list(track([[1, 2], [3]], "encoding", 3, len)) == [[1, 2], [3]]
    assert "encoding" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    assert "/s" in terminal.getvalue()


def test_progress_is_logged_without_a_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 20.0, 40.0, 40.0, 60.0, 100.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(times))
    with caplog.at_level(logging.INFO), progress("encoding gallery", 500) as step:
        step(100)  # at 20 s, too early for a log line
        step(100)  # at 40 s
        step(300)  # at 60 s, 20 s after the log line
    assert caplog.messages == [
        "Encoding gallery: 200 of 500 images (5 per second), 60 s left",
        "Encoded gallery: 500 images in 100.0 s (5 per second)",
    ]


def test_short_work_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(track(iter([]), "opening images", 0, len)) == []
    assert not caplog.messages


def test_prefetch_computes_at_most_one_chunk_ahead() -> None:
    started_items: list[int] = []

    def work(item: int) -> int:
        started_items.append(item)
        return 10 * item

    with ThreadPoolExecutor(1) as pool:
        chunks = []
        for index, chunk in enumerate(prefetch(pool, work, range(7), 3)):
            assert max(started_items) < 3 * (index + 2)
            chunks.append(chunk)
    assert chunks == [[0, 10, 20], [30, 40, 50], [60]]
    assert started_items == list(range(7))
