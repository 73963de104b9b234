"""Settings of a results page: page.yaml of an experiment folder, or of a folder of runs."""

from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PAGE_SETTINGS = "page.yaml"


class Selection(BaseModel):
    """Choice of the value of a setting that maximises a metric, for example the learning rate by validation accuracy.

    Attributes:
        setting: name of the setting.
        metric: title or flat name of a metric.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    setting: str
    metric: str


class PageSettings(BaseModel):
    """Settings of a results page.

    Attributes:
        commands: commands that run the experiment, then write its page.
        minutes: duration of all commands on two cores, or of one job if `jobs` is true.
        jobs: whether the commands are sweeps that write one results file a job to the folder jobs/.
        base: settings of the configuration to compare the others with, `name=value`, separated by spaces.
        columns: metrics to show, by title or flat name; empty: the default metrics.
        selection: choice of the value of a setting; None for none.
        study: module of the studies that writes the page instead of the sweep page; "" for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    commands: list[str] = []
    minutes: Annotated[float, Field(ge=0)] = 0.0
    jobs: bool = True
    base: str = ""
    columns: list[str] = []
    selection: Selection | None = None
    study: Literal["", "stability"] = ""

    @model_validator(mode="after")
    def _check_minutes(self) -> Self:
        if self.commands and not self.minutes:
            raise ValueError("minutes is missing; set the duration of the commands on two cores")
        return self


def read_page_settings(folder: Path) -> PageSettings:
    """Read page.yaml of a folder; the defaults without such a file.

    Raises:
        ValueError: the file is not valid YAML, or a key or value is invalid.
    """
    path = folder / PAGE_SETTINGS
    if not path.exists():
        return PageSettings()
    try:
        content = yaml.safe_load(path.read_text()) or {}
        if not isinstance(content, dict):
            raise ValueError(
                f"{path}: a {type(content).__name__}; write a mapping of {', '.join(PageSettings.model_fields)}"
            )
        return PageSettings.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        raise ValueError(f"{path}: {problems}; keys: {', '.join(PageSettings.model_fields)}") from error
    except (yaml.YAMLError, UnicodeDecodeError, IsADirectoryError) as error:
        raise ValueError(f"{path}: not a YAML file in UTF-8 ({error})") from error
