"""Long work is told of: on a terminal by a bar, elsewhere by lines, and its rate at the end."""

import logging
from concurrent.futures import ThreadPoolExecutor
from io import StringIO

import pytest
from rich.console import Console

from fashion_lsh.io import progress as module
from fashion_lsh.io.progress import ahead, counted, progress


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    text = StringIO()
    console = Console(file=text, force_terminal=True, width=100)
    monkeypatch.setattr(module, "get_console", lambda: console)
    monkeypatch.setattr("rich.progress.get_console", lambda: console)
    return text


def test_a_terminal_sees_count_and_rate(screen: StringIO) -> None:
    assert list(counted([[1, 2], [3]], "filing", 3, len)) == [[1, 2], [3]]
    assert "filing" in screen.getvalue()
    assert "3/3" in screen.getvalue()
    assert "/s" in screen.getvalue()


def test_without_a_terminal_lines_tell_count_rate_and_time_left(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 20.0, 40.0, 40.0, 60.0, 100.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    with caplog.at_level(logging.INFO), progress("encoding gallery", 500) as step:
        step(100)  # after 20 s: too early for a line
        step(100)  # after 40 s
        step(300)  # after 60 s: 20 since the last
    assert caplog.messages == [
        "encoding gallery: 200 of 500, 5 a second, 60 s left",
        "encoding gallery: 500 pictures in 100.0 s, 5 a second",
    ]


def test_of_short_work_nothing_is_told(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        assert list(counted(iter([]), "opening pictures", 0, len)) == []
    assert not caplog.messages


def test_no_more_than_two_batches_are_made_ahead() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return 10 * item

    with ThreadPoolExecutor(1) as pool:
        found = []
        for number, batch in enumerate(ahead(pool, work, range(7), 3)):
            assert max(begun) < 3 * (number + 2)
            found.append(batch)
    assert found == [[0, 10, 20], [30, 40, 50], [60]]
    assert begun == list(range(7))
