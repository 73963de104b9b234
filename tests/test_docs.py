"""Commands and Python code in README.md, CONTRIBUTING.md and docs/ are valid, and run on a few images."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from fashion_lsh.__main__ import COMMANDS
from fashion_lsh.data.catalogue import Catalogue
from tests.cli.test_embeddings import write_vectors
from tests.commands import run_forked
from tests.test_conf import compose_config

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE_PATTERN = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^>]+) -->\n)?^ *```(?P<language>\S*)\n(?P<text>.*?)^ *```", re.MULTILINE | re.DOTALL
)
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
SMALLEST = ["trainer=smoke", "logger=csv", "data.workers=0", "data.batch_size=4", "classifier.epochs=1"]
SMALL_DATA = ["data=folder", "data.root=photos", "split=gallery_is_train", "data.image_size=64",
              "backbone.weights=null"]  # fmt: skip


class Block(NamedTuple):
    """Fenced block of a page.

    Attributes:
        language: language after the fence; empty for plain text.
        reason: reason for not running the block; empty if the block is run.
        text: content of the block.
    """

    language: str
    reason: str
    text: str

    @property
    def is_run(self) -> bool:
        return self.language in ("bash", "python") and not self.reason

    def commands(self) -> Iterator[list[str]]:
        """Commands of a shell block, each as a list of words, without environment variables and comments."""
        for line in self.text.splitlines():
            words = [word for word in shlex.split(line, comments=True) if not re.match(r"&|[A-Z_]+=", word)]
            if words:
                yield words


def read_blocks(page: Path) -> list[Block]:
    matches = FENCE_PATTERN.finditer(page.read_text())
    return [Block(match["language"], match["reason"] or "", match["text"]) for match in matches]


BLOCKS = [block for page in PAGES for block in read_blocks(page)]
LINES = {" ".join(words): words for block in BLOCKS if block.language == "bash" for words in block.commands()}
PAGES_TO_RUN = [page for page in PAGES if any(block.is_run for block in read_blocks(page))]


def test_commands_are_in_blocks_marked_as_bash() -> None:
    assert {block.language for block in BLOCKS} <= {
        "",
        "bash",
        "python",
        "yaml",
        "{toctree}",
        "{eval-rst}",
        "{include}",
    }
    plain = "".join(block.text for block in BLOCKS if not block.language)
    assert not re.search(r"^(fashion-lsh|python|make|pip|wandb) ", plain, flags=re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_page_has_no_merge_conflict(page: Path) -> None:
    assert not re.search(r"^(<{7}|>{7}) ", page.read_text(), flags=re.MULTILINE)


def test_commands_exist() -> None:
    assert {words[0] for words in LINES.values()} <= {
        "tensorboard",
        "fashion-lsh",
        "python",
        "make",
        "wandb",
        "curl",
        "torchrun",
        "sbatch",
        ".",
    }
    assert {words[1] for words in LINES.values() if words[0] == "make"} <= TARGETS
    assert {words[1] for words in LINES.values() if words[0] == "fashion-lsh"} == {*COMMANDS}


@pytest.mark.parametrize("line", [line for line in LINES if re.match(r"fashion-lsh (train|evaluate) ", line)])
def test_config_of_a_command_can_be_composed(line: str) -> None:
    _, script, *overrides = LINES[line]
    first_jobs = [re.sub(r"=([^,\[{]+),.*", r"=\1", override) for override in overrides if "=" in override]
    composed = [override for override in first_jobs if not override.startswith("run=")]
    assert compose_config(*composed, script=script)


@pytest.mark.parametrize("line", [line for line in LINES if re.match(r"fashion-lsh (?!train|evaluate)", line)])
def test_arguments_of_a_command_can_be_parsed(line: str) -> None:
    command, *arguments = LINES[line][1:]
    import_module(f"fashion_lsh.cli.{command}").build_parser().parse_args(arguments)


@pytest.fixture(scope="session")
def project(few: Path, shared_folder: Callable[[str, Callable[[Path], object]], Path]) -> Path:
    """Copy of the project folder with the image files that the pages mention, and a run."""
    return shared_folder("project", lambda folder: prepare_project(folder, few))


@pytest.mark.smoke
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("page", PAGES_TO_RUN, ids=lambda page: page.name)
def test_blocks_of_a_page_run(page: Path, project: Path, tmp_path: Path) -> None:
    """The commands and Python code of a page run one after another on a few images, in a copy of the project folder."""
    shutil.copytree(project, tmp_path, symlinks=True, dirs_exist_ok=True)
    names: dict[str, object] = {}
    if page.name == "extend.md":  # the classes of the page are in my_parts.py
        classes = [textwrap.dedent(block.text) for block in read_blocks(page) if block.language == "python"]
        (tmp_path / "my_parts.py").write_text("\n\n".join(classes))
    for block in read_blocks(page):
        if block.is_run and block.language == "bash":
            for words in block.commands():
                run_command(reduce_training(words), tmp_path)
        elif block.is_run:
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(tmp_path)
                exec(textwrap.dedent(block.text), names)


def reduce_training(words: list[str]) -> list[str]:
    """Reduce a training command to a few images and steps; return other commands unchanged."""
    if words[:2] != ["fashion-lsh", "train"] or "--cfg" in words:
        return words
    keys = {word.partition("=")[0] for word in words}
    experiments = {word for word in words if word.startswith("experiment=")}
    is_reduced = "data.root" not in keys and experiments <= {"experiment=demo"}
    first_jobs = [re.sub(r"=([^,\[{]+),.*", r"=\1", word) for word in words[2:] if "=" in word]
    has_epochs = first_jobs == words[2:] and "epochs" in (compose_config(*first_jobs)["hash"] or {})
    return [
        *words,
        *(word for word in SMALLEST if word.partition("=")[0] not in keys),
        *(["hash.epochs=1"] if has_epochs and "hash.epochs" not in keys else []),
        *(SMALL_DATA if is_reduced else []),
        *(["backbone=resnet18"] if is_reduced and not experiments and "backbone" not in keys else []),
    ]


def run_command(words: list[str], folder: Path) -> None:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    if words[0] == "fashion-lsh":
        status, output = run_forked(words[1:], folder, folder / "output.log", environment)
    else:
        done = subprocess.run(
            words, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        status, output = done.returncode, done.stdout
    assert status == 0, f"{shlex.join(words)}\n{output[-3000:]}"


def prepare_project(folder: Path, few: Path) -> None:
    """Link the project files, write the image files that the pages mention, and train a run."""
    for name in ("docs", "experiments"):
        (folder / name).symlink_to(ROOT / name)
    images = Catalogue.open(few)
    for image, category in zip(images.column("image"), images.column("category"), strict=True):
        (folder / "photos" / category).mkdir(parents=True, exist_ok=True)
        shutil.copy(few.parent / image, folder / "photos" / category / image)
    (folder / "new_photos").mkdir()
    for number, image in enumerate(images.column("image")[:3]):
        shutil.copy(few.parent / image, folder / f"new_photos/{number}.png")
    shutil.copy(few.parent / images.column("image")[0], folder / "new.jpg")
    (folder / "ids.txt").write_text("0.png\n")
    write_vectors(folder / "vectors.parquet")
    run_command(reduce_training(["fashion-lsh", "train", "backbone=resnet18"]), folder)
