"""Atomic writes, folder locks, disk space, checksums and CSV."""

import csv
import errno
import hashlib
import io
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.io.files import atomic_write, check_disk_space, checksum, csv_rows, folder_lock

WRITE_ON_FULL_DISK = """
import resource, sys
from fashion_lsh.io.files import atomic_write
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with atomic_write(sys.argv[1]) as temporary:
    temporary.write_bytes(bytes(2000))
"""


def write_and_raise(path: Path, error: BaseException) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text("half")
        raise error


def file_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_write_creates_the_file_and_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "some" / "folder" / "a.txt"
    with atomic_write(path) as temporary:
        temporary.write_text("whole")
    assert path.read_text() == "whole"
    assert file_names(path.parent) == ["a.txt"]


def test_the_old_file_is_kept_until_the_new_file_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with atomic_write(str(path)) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path  # a rename is atomic only within a file system
        assert path.read_text() == "old"
        inode = temporary.stat().st_ino
    assert path.read_text() == "new"
    assert path.stat().st_ino == inode  # renamed, not copied
    assert file_names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_an_exception_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_and_raise(path, error)
    assert path.read_text() == "old"
    assert file_names(tmp_path) == ["a.txt"]


def test_path_and_reason_of_a_disk_error_are_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.txt .*No space left on device"):
        write_and_raise(tmp_path / "a.txt", OSError(28, "No space left on device"))


def test_other_errors_are_raised_unchanged(tmp_path: Path) -> None:
    error = ValueError("the table has no rows")
    with pytest.raises(ValueError, match="the table has no rows") as caught:
        write_and_raise(tmp_path / "a.txt", error)
    assert caught.value is error


def test_a_block_without_a_written_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.txt"), atomic_write(tmp_path / "a.txt"):
        pass
    assert file_names(tmp_path) == []


def test_a_full_disk_keeps_the_old_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    process = subprocess.run(
        [sys.executable, "-c", WRITE_ON_FULL_DISK, str(path)], capture_output=True, text=True, check=False
    )
    assert process.returncode == 1
    assert str(path) in process.stderr
    assert "File too large" in process.stderr
    assert path.read_bytes() == b"old"
    assert file_names(tmp_path) == ["a.bin"]


def test_concurrent_writers_use_separate_temporary_files(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a.txt") as outer, atomic_write(tmp_path / "a.txt") as inner:
        assert outer != inner
        outer.write_text("outer")
        inner.write_text("inner")
    assert (tmp_path / "a.txt").read_text() == "outer"  # the outer block ends last
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_lock_is_exclusive(tmp_path: Path) -> None:
    with folder_lock(tmp_path / "run"):
        with pytest.raises(ValueError, match=f"{tmp_path}/run .*another process"), folder_lock(tmp_path / "run"):
            pass
        (tmp_path / "latest").symlink_to("run")
        with pytest.raises(ValueError, match=f"{tmp_path}/latest .*another process"), folder_lock(tmp_path / "latest"):
            pass
        with folder_lock(tmp_path / "another"):
            pass
    with folder_lock(tmp_path / "run"):
        pass


HOLD_LOCK = """
import sys, time
from pathlib import Path
from fashion_lsh.io.files import folder_lock
with folder_lock(Path(sys.argv[1])):
    print("locked", flush=True)
    time.sleep(60)
"""


def test_a_waiting_lock_continues_when_the_other_process_dies(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with subprocess.Popen([sys.executable, "-c", HOLD_LOCK, tmp_path / "run"], stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        other.stdout.readline()
        with pytest.raises(ValueError, match="another process"), folder_lock(tmp_path / "run"):
            pass
        threading.Timer(0.5, other.kill).start()
        start = time.monotonic()
        with folder_lock(tmp_path / "run", wait=True):
            assert time.monotonic() - start > 0.4
            assert f"{tmp_path}/run" in caplog.text


def test_a_lock_is_released_although_a_child_process_still_has_its_file(tmp_path: Path) -> None:
    """Persistent loader processes are forked in the block and may outlive it."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=[60])
    try:
        with folder_lock(tmp_path / "run"):
            child.start()
        with folder_lock(tmp_path / "run"):
            assert child.is_alive()
    finally:
        child.kill()
        child.join()


def test_lock_on_a_file_system_without_locks_is_an_error_with_a_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def raise_not_implemented(*args: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fashion_lsh.io.files.fcntl.flock", raise_not_implemented)
    with pytest.raises(OSError, match=rf"^{tmp_path}/run .*runs=\.\.\."), folder_lock(tmp_path / "run"):
        pass


def test_checksum_is_sha256_of_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    content = bytes(range(256)) * 5000  # longer than the read buffer
    path.write_bytes(content)
    assert checksum(path) == hashlib.sha256(content).hexdigest()
    path.write_bytes(content[:-1] + b"\0")
    assert checksum(str(path)) != hashlib.sha256(content).hexdigest()


def test_required_and_free_megabytes_are_in_the_error_if_the_disk_is_full(tmp_path: Path) -> None:
    check_disk_space(tmp_path, 1)
    with pytest.raises(OSError, match=rf"{tmp_path}: 10,000,000,000 MB .*[\d,]+ MB free.*runs=\.\.\."):
        check_disk_space(tmp_path, 10**16)


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n",'))


@given(rows=st.lists(st.lists(CELL, min_size=1), min_size=1))
def test_csv_rows_have_the_number_of_their_first_line(rows: list[list[str]]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, lineterminator="\n").writerows(rows)
    text = buffer.getvalue()
    parsed = list(csv_rows(io.StringIO(text, newline="")))
    assert [cells for _, cells in parsed] == rows
    start_line = 1
    for line, cells in parsed:
        assert line == start_line
        start_line += 1 + sum(cell.count("\n") for cell in cells)


def test_line_of_an_unclosed_quote_is_in_the_error() -> None:
    for rest in (["e,f\n"], ['e,"f\n']):  # the second quote closes the first quote
        with pytest.raises(ValueError, match=r"line 9: .*quote"):
            list(csv_rows(["a,b\n", 'c,"d\n', *rest], first=8))
    with pytest.raises(ValueError, match=r"line 2: .*131,072 characters.*quote"):
        list(csv_rows(["a,b\n", f"c,{'d' * 200_000}\n"]))


@pytest.mark.parametrize("line", ['"a.png" ,hat', '"12" tv",hat', '"picture";"category"', r'"a \" b",c'])
def test_unusual_quotes_are_parsed_like_the_csv_module(line: str) -> None:
    parsed = list(csv_rows(["x,y\n", f"{line}\n", "z,1\n"]))
    assert parsed == [(1, ["x", "y"]), (2, next(csv.reader([line]))), (3, ["z", "1"])]
