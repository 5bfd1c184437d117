"""Trials: a shape goes through the commands of a user, and what comes out is compared with what is right."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eval.own_data.shapes import Right, Shape
from genre_gen.cli.main import main as command_line
from genre_gen.data.dataset import Dataset
from genre_gen.errors import GenreGenError

RIGHT, REMEDIED, WRONG = "right", "refused, and the remedy works", "wrong"
_ROLES = ("user", "item", "item_id", "rating", "time", "title", "text")
_PICKS = 5
_HALF = 1e-3  # ratings are stored as float32


class Ran(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    error: str


@dataclass
class Trial:
    """The result of a shape.

    Attributes:
        name: of the shape.
        refused: the message with which it was refused; "" if it was read.
        differences: what is not right.
        figures: of training and evaluation.
    """

    name: str
    refused: str = ""
    differences: list[str] = field(default_factory=list)
    figures: dict[str, Any] = field(default_factory=dict)

    @property
    def verdict(self) -> str:
        """Return ``RIGHT``, ``REMEDIED`` or ``WRONG``."""
        return WRONG if self.differences else REMEDIED if self.refused else RIGHT

    def content(self) -> dict[str, Any]:
        """Return the result as JSON values."""
        return {**asdict(self), "verdict": self.verdict}


def read(shape: Shape, folder: Path) -> tuple[Trial, Dataset | None]:
    """Write a shape's files, make its domain and load its data; return the trial, and the data if it could be read."""
    trial = Trial(shape.name)
    for name, content in shape.files.items():
        (folder / name).write_bytes(content)
    ran = new_domain(shape, shape.options, folder)
    if ran.code and shape.refusal is not None:
        trial.refused = ran.error
        if not re.search(shape.refusal.reason, ran.error, re.S):
            trial.differences.append(f"refused for another reason: {ran.error}")
        options = shape.refusal.remedy(folder)
        ran = new_domain(shape, options, folder) if options else Ran(0, "", "")
    if ran.code:
        trial.differences.append(f"domains new: {ran.error}")
        return trial, None
    if ran.out:
        trial.differences += list(_proposal_differences(shape, ran, folder))
    try:
        data = Dataset.load(folder / "catalogs" / shape.name)
    except GenreGenError as problem:
        trial.differences.append(f"the data cannot be loaded: {problem}")
        return trial, None
    trial.differences += [
        f"{what}: {found!r}, right: {right!r}" for what, found, right in _differences(data, shape.right)
    ]
    return trial, data


def new_domain(shape: Shape, options: Sequence[str], folder: Path, *more: str) -> Ran:
    """Run ``domains new`` with a shape's options."""
    files = {path.name: str(path) for path in folder.iterdir() if path.is_file()}
    words = [files.get(option, option) for option in options]
    return run("domains", "new", shape.name, *words, "--folder", str(folder), *more)


def trained(trial: Trial, data: Dataset, folder: Path, minutes: float, right: Right) -> None:
    """Check, train, recommend and evaluate; add what is wrong and the figures to the trial."""
    domain, model = str(folder / "catalogs" / trial.name), str(folder / "model")
    commands = {
        "domains check": ["domains", "check", domain],
        "train": ["train", domain, "--out", model, "--max-minutes", f"{minutes:g}"],
        "recommend": [
            "recommend",
            domain,
            "--model",
            model,
            "--user",
            right.user,
            "-n",
            str(_PICKS),
            "--explain",
            "--json",
        ],
        "evaluate": ["evaluate", domain, "--model", model],
    }
    done: dict[str, Ran] = {}
    for name, words in commands.items():
        done[name] = run(*words)
        if done[name].code:
            said = (done[name].error or done[name].out).splitlines() or [""]
            trial.differences.append(f"{name}: {said[-1]}")
            return
    picks = [pick["id"] for pick in json.loads(done["recommend"].out)["picks"]]
    known = {item.id for item in data.catalog} - (set() if data.domain.repeat else {*right.history})
    if len(set(picks)) != _PICKS or not set(picks) <= known:
        trial.differences.append(f"recommend: {picks} are not {_PICKS} new items")
    report = json.loads((folder / "model" / "evaluation.json").read_text("utf-8"))
    if len(report["users"]) != (cases := _cases(data)):
        trial.differences.append(f"evaluate: {len(report['users'])} cases, right: {cases}")
    trial.figures["cases"] = len(report["users"])


def _cases(data: Dataset) -> int:
    """Return the number of users with an interaction that evaluations ask for and two before it."""
    log = data.interactions
    place = np.arange(len(log)) - log.offsets[log.owners]
    return len(np.unique(log.owners[(place >= 2) & log.measured]))


# Comparison


def _proposal_differences(shape: Shape, ran: Ran, folder: Path) -> Iterator[str]:
    """Yield what is wrong with the roles, the notes and the settings that ``domains new`` wrote."""
    right = shape.right
    toml = (folder / "catalogs" / shape.name / "domain.toml").read_text("utf-8")
    columns = _roles(ran.out)
    if right.columns is not None:
        for role in dict.fromkeys((*right.columns, *columns)):
            if columns.get(role) != right.columns.get(role):
                yield f"column of the {role}: {columns.get(role)!r}, right: {right.columns.get(role)!r}"
    yield from (f"not said: {pattern}" for pattern in right.said if not re.search(pattern, ran.out))
    yield from (f"wrongly said: {pattern}" for pattern in right.unsaid if re.search(pattern, ran.out))
    settings = tomllib.loads(toml)
    for key, value in right.settings.items():
        if (found := _setting(settings, key)) != value:
            yield f"{key} = {found!r}, right: {value!r}"


def _roles(told: str) -> dict[str, str]:
    """Return role -> column of the lines of ``domains new``."""
    lines = (re.match(r"(\w+) +(.+?)(?: {2,}|$)", line) for line in told.splitlines())
    return {line[1]: line[2] for line in lines if line and line[1] in _ROLES and line[2] != "-"}


def _setting(settings: Mapping[str, Any], key: str) -> Any:
    found: Any = settings
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _differences(data: Dataset, right: Right) -> Iterator[tuple[str, Any, Any]]:
    """Yield what differs between loaded data and what is right: what, the data's, and the right one."""
    log, catalog = data.interactions, data.catalog
    ids = [item.id for item in catalog]
    rated = 0 if log.ratings is None else int((~np.isnan(log.ratings)).sum())
    pairs: list[tuple[str, Any, Any]] = [
        ("users", len(log.users), right.users),
        ("items", len(ids), right.items),
        ("interactions", len(log), right.interactions),
        ("rated", rated, right.rated),
        ("scale", data.domain.rating_scale, right.scale),
    ]
    if right.user in log.users:
        rows = log.history(right.user).rows.tolist()
        pairs.append((f"history of {right.user}", tuple(ids[row] for row in rows), right.history))
    else:
        pairs.append(("first user", log.users[:3], right.user))
    by_id = {item.id: item for item in catalog}
    for item_id, title in right.titles.items():
        pairs.append((f"title of {item_id}", by_id[item_id].title if item_id in by_id else None, title))
    for item_id, labels in right.labels.items():
        lists = (
            [value for value in by_id[item_id].attributes.values() if isinstance(value, tuple)]
            if item_id in by_id
            else []
        )
        pairs.append((f"labels of {item_id}", labels if labels in lists else lists, labels))
    yield from ((what, found, wanted) for what, found, wanted in pairs if not _same(found, wanted))


def _same(found: Any, right: Any) -> bool:
    if isinstance(found, tuple) and isinstance(right, tuple):
        return found == right
    return bool(found == right)


# The command line, in this process: loading torch for each command would take most of the time


def run(*arguments: str) -> Ran:
    """Run a command as the command line does, and return its exit code and what it wrote."""
    out, error, before = io.StringIO(), io.StringIO(), sys.argv
    loggers = logging.getLogger(), logging.getLogger("genre_gen")
    levels, handlers = [logger.level for logger in loggers], [list(logger.handlers) for logger in loggers]
    sys.argv = ["genre-gen", *arguments]
    code = 0
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            command_line()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.argv = before
        for logger, level, own in zip(loggers, levels, handlers, strict=True):
            logger.setLevel(level)
            logger.handlers[:] = own
    return Ran(code, out.getvalue(), error.getvalue().strip())
