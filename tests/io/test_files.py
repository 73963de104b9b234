"""Files are whole or not there, whatever ends the writing."""

import csv
import errno
import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fashion_lsh.io.files import alone, check_room, checksum, csv_rows, written

FULL_DISK = """
import resource, sys
from fashion_lsh.io.files import written
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
with written(sys.argv[1]) as draft:
    draft.write_bytes(bytes(2000))
"""


def write_and_raise(path: Path, error: BaseException) -> None:
    with written(path) as draft:
        draft.write_text("ha")
        raise error


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_file_is_there_when_the_block_ends_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "folder" / "a.txt"
    with written(path) as draft:
        draft.write_text("whole")
    assert path.read_text() == "whole"
    assert names(path.parent) == ["a.txt"]


def test_old_file_stands_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with written(str(path)) as draft:
        draft.write_text("new")
        assert draft.parent == tmp_path  # a rename is at once on one file system only
        assert path.read_text() == "old"
        number = draft.stat().st_ino
    assert path.read_text() == "new"
    assert path.stat().st_ino == number  # renamed, not copied
    assert names(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("error", [ValueError("bad"), KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_whatever_ends_the_block_leaves_the_old_file_and_no_draft(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_and_raise(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_error_of_the_disk_names_the_file_and_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.txt could not be written \(No space left on device\): free some space"):
        write_and_raise(tmp_path / "a.txt", OSError(28, "No space left on device"))


def test_error_that_is_not_the_disks_comes_through_as_it_is(tmp_path: Path) -> None:
    error = ValueError("the table has no rows")
    with pytest.raises(ValueError, match="no rows") as caught:
        write_and_raise(tmp_path / "a.txt", error)
    assert caught.value is error


def test_block_that_writes_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"a\.txt could not be written"), written(tmp_path / "a.txt"):
        pass
    assert names(tmp_path) == []


def test_full_disk_leaves_the_old_file_and_no_draft(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    ended = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert f"{path} could not be written (File too large)" in ended.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_two_that_write_one_file_have_drafts_of_their_own(tmp_path: Path) -> None:
    with written(tmp_path / "a.txt") as one, written(tmp_path / "a.txt") as other:
        assert one != other
        one.write_text("one")
        other.write_text("other")
    assert (tmp_path / "a.txt").read_text() == "one"  # the last to end
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_belongs_to_one_at_a_time(tmp_path: Path) -> None:
    with alone(tmp_path / "run"):
        with pytest.raises(ValueError, match="run is in use by another process"), alone(tmp_path / "run"):
            pass
        (tmp_path / "latest").symlink_to("run")
        with pytest.raises(ValueError, match="latest is in use by another process"), alone(tmp_path / "latest"):
            pass
        with alone(tmp_path / "another"):
            pass
    with alone(tmp_path / "run"):
        pass


def test_a_disk_without_locks_is_named_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_lock(*asked: object) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr("fashion_lsh.io.files.fcntl.flock", no_lock)
    said = r"run cannot be locked \(Function not implemented\): choose a disk that has locks \(runs=\.\.\.\)$"
    with pytest.raises(OSError, match=f"^{tmp_path}/{said}"), alone(tmp_path / "run"):
        pass


def test_checksum_is_the_sha256_of_the_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    content = bytes(range(256)) * 5000  # more than is read at a time
    path.write_bytes(content)
    assert checksum(path) == hashlib.sha256(content).hexdigest()
    path.write_bytes(content[:-1] + b"\0")
    assert checksum(str(path)) != hashlib.sha256(content).hexdigest()


def test_a_disk_without_room_is_named_with_what_is_wanted_and_free(tmp_path: Path) -> None:
    check_room(tmp_path, 1)
    with pytest.raises(
        OSError, match=r"10,000,000,000 MB are wanted and [\d,]+ MB are free: free some space, or choose"
    ):
        check_room(tmp_path, 10**16)


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from('\n",'))


@given(rows=st.lists(st.lists(CELL, min_size=1), min_size=1))
def test_rows_of_csv_come_back_with_the_lines_they_begin_on(rows: list[list[str]]) -> None:
    written_rows = io.StringIO(newline="")
    csv.writer(written_rows, lineterminator="\n").writerows(rows)
    text = written_rows.getvalue()
    found = list(csv_rows(io.StringIO(text, newline="")))
    assert [cells for _, cells in found] == rows
    begins = 1
    for line, cells in found:
        assert line == begins
        begins += 1 + sum(cell.count("\n") for cell in cells)


def test_a_quote_that_is_not_closed_is_named_by_its_line() -> None:
    for rest in (["e,f\n"], ['e,"f\n']):  # a later one swallows up to itself
        with pytest.raises(ValueError, match="line 9: a quote that opens there is not closed: close it, or double one"):
            list(csv_rows(["a,b\n", 'c,"d\n', *rest], first=8))
    with pytest.raises(ValueError, match=r"line 2: a cell of more than 131,072 characters: is a quote before it not c"):
        list(csv_rows(["a,b\n", f"c,{'d' * 200_000}\n"]))


@pytest.mark.parametrize("line", ['"a.png" ,hat', '"12" tv",hat', '"picture";"category"', r'"a \" b",c'])
def test_an_odd_line_is_read_as_python_reads_it(line: str) -> None:
    read = list(csv_rows(["x,y\n", f"{line}\n", "z,1\n"]))
    assert read == [(1, ["x", "y"]), (2, next(csv.reader([line]))), (3, ["z", "1"])]
