"""What differs between trained recommenders: data, settings, members, training, metrics, lists."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from genre_gen.data.arguments import check_path, check_type
from genre_gen.data.html_table import html_block, html_table, html_text
from genre_gen.data.interactions import Interactions
from genre_gen.data.printable import aligned_rows, printable
from genre_gen.errors import UsageError
from genre_gen.evaluation.baselines import GENRE
from genre_gen.evaluation.list_comparison import ListComparison, lists_of_runs
from genre_gen.evaluation.report import Report
from genre_gen.evaluation.saved_run import SavedRun
from genre_gen.evaluation.significance import holm, paired_test
from genre_gen.recommender.requests import Who
from genre_gen.training.tracking import flattened

SAMPLE = 200
"""For how many users lists are compared, unless asked otherwise."""

WIDEST = 48  # characters of a value in a table of text


@dataclass(frozen=True)
class Section:
    """One table of a comparison: name -> a value for each run, None if a run has none."""

    title: str
    rows: Mapping[str, tuple[Any, ...]]
    notes: tuple[str, ...] = ()

    def cells(self) -> list[list[str]]:
        """Return the rows as text."""
        return [[name, *map(_shown, values)] for name, values in self.rows.items()]


@dataclass(frozen=True)
class MetricTest:
    """A paired permutation test of a run against the first one, on the users of both evaluations.

    Attributes:
        run: its name.
        metric: such as ``N@10``.
        users: how many are in both evaluations with the same item to find.
        difference: this run's mean over them minus the first run's.
        p: two-sided.
        corrected: the same after Holm's correction over all runs that were tested.
    """

    run: str
    metric: str
    users: int
    difference: float
    p: float
    corrected: float


@dataclass(frozen=True)
class RunComparison:
    """What :func:`compare_runs` found; the first run is what the others are compared with.

    Attributes:
        runs: names.
        sections: tables of data, settings, members, training and metrics.
        tests: of the metrics.
        lists: agreement of the lists.
        notes: what could not be compared, and why.

    Example:
        >>> recommender.save_pretrained("runs/a")
        >>> recommender.save_pretrained("runs/b")
        >>> comparison = compare_runs(["runs/a", "runs/b"], users=2)
        >>> [lists.users for lists in comparison.lists]
        [2]
    """

    runs: tuple[str, ...]
    sections: tuple[Section, ...]
    tests: tuple[MetricTest, ...] = ()
    lists: tuple[ListComparison, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, title: str) -> Section:
        """Return a section by its title; raises UsageError."""
        for section in self.sections:
            if section.title == title:
                return section
        raise UsageError(f"no section {title!r}; there are: {', '.join(section.title for section in self.sections)}")

    def __str__(self) -> str:
        """Return it as text."""
        return self.text()

    def text(self) -> str:
        """Return all tables as text."""
        blocks = []
        for section in self.sections:
            header = [section.title, *self.runs]
            lines = _aligned([header, *section.cells()]) if section.rows else [f"{section.title}: no difference"]
            blocks.append([*lines, *(f"note: {note}" for note in section.notes)])
        if self.tests:
            blocks.append(["paired permutation tests", *map(_test_text, self.tests)])
        blocks += [[*_list_lines(each, self.runs[0])] for each in self.lists]
        blocks += [[f"note: {note}" for note in self.notes]] if self.notes else []
        return "\n\n".join("\n".join(map(printable, lines)) for lines in blocks)

    def to_dict(self) -> dict[str, Any]:
        """Return it, ready for JSON."""
        return {
            "runs": list(self.runs),
            **{
                section.title: {name: list(values) for name, values in section.rows.items()}
                for section in self.sections
            },
            "tests": [vars(test) for test in self.tests],
            "lists": [each.to_dict() for each in self.lists],
            "notes": [*(note for section in self.sections for note in section.notes), *self.notes],
        }

    def _repr_html_(self) -> str:
        """Return it as a notebook shows it."""
        parts = []
        for section in self.sections:
            if section.rows:
                numbers = range(1, len(self.runs) + 1)
                parts.append(html_table([section.title, *self.runs], section.cells(), numbers=numbers))
            parts += [html_text(f"note: {note}", small=True) for note in section.notes]
        parts += [html_text(_test_text(test)) for test in self.tests]
        parts += [html_text(line) for each in self.lists for line in _list_lines(each, self.runs[0])]
        return html_block(*parts, *(html_text(f"note: {note}", small=True) for note in self.notes))


def compare_runs(
    folders: Sequence[str | Path],
    *,
    users: int | Sequence[str] = SAMPLE,
    histories: Sequence[Who] = (),
    n: int = 10,
    plugins: Collection[str] = (),
) -> RunComparison:
    """Say what differs between trained recommenders, each against the first.

    Metrics come from the ``evaluation.json`` in each folder. A pair is tested only if both evaluations ranked the same
    catalog and have the same items to find; otherwise a note explains what differs.

    Args:
        folders: of saved recommenders, two or more.
        users: for how many users that all runs have lists are compared, or their ids; 0 compares no lists.
        histories: compare lists for these instead of users of the data, see :meth:`genre_gen.Recommender.recommend`.
        n: items in a list.
        plugins: installed packages whose components the folders may use.

    Raises:
        UsageError: fewer than two folders.
        CheckpointError: a folder that is incomplete or damaged.
        UnknownUserError, UnknownItemError: a user or title that a run does not have.

    Example:
        >>> comparison = compare_runs(["runs/movies", "runs/longer"])
        >>> print(comparison)
        >>> comparison["settings"].rows
        {'training.epochs': (3, 6)}
    """
    check_type(folders, Iterable, "folders", "a list of folders")
    paths = [check_path(folder, "a folder") for folder in ([] if isinstance(folders, str) else folders)]
    if len(paths) < 2:  # noqa: PLR2004 two to compare
        raise UsageError("give at least two folders of trained recommenders to compare")
    names = [path.name for path in paths]
    names = names if len(set(names)) == len(names) else [path.as_posix() for path in paths]
    runs = [SavedRun.read(path, name) for path, name in zip(paths, names, strict=True)]
    metrics, tests = _metrics(runs)
    lists, notes = lists_of_runs(runs, users, histories, n, plugins)
    sections = (_data(runs), _settings(runs), _members(runs), _training(runs), metrics)
    return RunComparison(tuple(names), sections, tests, lists, notes)


# Tables


def _data(runs: Sequence[SavedRun]) -> Section:
    def of_log(run: SavedRun) -> dict[str, Any]:
        log = run.trained_on
        if log is None:
            return {}
        times = [] if log.times is None or not len(log) else [log.times.min(), log.times.max()]
        span = dict(zip(("from", "until"), map(_date, times), strict=False))
        return {
            "users": len(log.users),
            "interactions": len(log),
            "interactions fingerprint": _fingerprint(log),
            **span,
        }

    rows = [
        {
            "domain": run.settings["domain"]["name"],
            "items": len(run.catalog),
            "catalog fingerprint": run.catalog.fingerprint()[:12],
            **of_log(run),
        }
        for run in runs
    ]
    notes = []
    for run in runs[1:]:
        common = len({item.id for item in runs[0].catalog} & {item.id for item in run.catalog})
        if common < max(len(runs[0].catalog), len(run.catalog)):
            notes.append(f"{runs[0].name} and {run.name} have {common:,} items in common")
    return Section("data", _joined(rows), tuple(notes))


def _settings(runs: Sequence[SavedRun]) -> Section:
    rows = [
        {
            **dict(flattened(run.settings["domain"])),
            **{f"prompt {task}": fingerprint[:12] for task, fingerprint in run.settings["prompts"].items()},
        }
        for run in runs
    ]
    return Section("settings", _different(_joined(rows)))


def _members(runs: Sequence[SavedRun]) -> Section:
    weights = _joined([{f"weight {name}": weight for name, weight in run.weights.items()} for run in runs])
    options = _joined([dict(flattened(run.settings["members"])) for run in runs])
    return Section("members", {**weights, **_different(options)})


def _training(runs: Sequence[SavedRun]) -> Section:
    rows = []
    for run in runs:
        judged = [entry for entry in run.settings["training_log"] if "ndcg@10" in entry and entry["epoch"] > 0]
        best = max(judged, key=lambda entry: entry["ndcg@10"], default=None)
        rows.append(
            {
                "version": run.settings["version"],
                "validations": len(judged),
                **({} if best is None else {"best NDCG@10": best["ndcg@10"], "after epochs": best["epoch"]}),
                **{f"seconds {part}": round(value, 1) for part, value in run.settings["seconds"].items()},
            }
        )
    return Section("training", _joined(rows))


# Metrics


def _metrics(runs: Sequence[SavedRun]) -> tuple[Section, tuple[MetricTest, ...]]:
    notes = [problem for run in runs for problem in run.problems]
    reports = [run.report for run in runs]
    known = [report for report in reports if report is not None]
    cuts = sorted(set.intersection(*(set(report.k) for report in known))) if known else []
    metrics = [f"{letter}@{cut}" for letter in ("R", "N") for cut in cuts]
    rows = {
        metric: tuple(None if report is None else report[GENRE].figure(metric) for report in reports)
        for metric in metrics
    }
    if known:
        rows = {"users": tuple(None if report is None else len(report.targets) for report in reports), **rows}
    headline = f"N@{10 if 10 in cuts else cuts[-1]}" if cuts else ""  # noqa: PLR2004 the field's custom
    tests = []
    for run in runs[1:]:
        if runs[0].report is None or run.report is None or not headline:
            continue
        cases = _paired(runs[0], run)
        if isinstance(cases, str):
            notes.append(f"{run.name} is not tested against {runs[0].name}: {cases}")
            continue
        values = [
            each.report[GENRE].values(headline)[rows_]  # type: ignore[index]
            for each, rows_ in zip((runs[0], run), cases, strict=True)
        ]
        difference = float(values[1].mean() - values[0].mean())
        tests.append((run.name, len(cases[0]), difference, paired_test(values[1], values[0])))
    corrected = holm([p for *_, p in tests])
    found = [
        MetricTest(name, headline, users, difference, p, float(fixed))
        for (name, users, difference, p), fixed in zip(tests, corrected, strict=True)
    ]
    return Section("metrics", rows, tuple(notes)), tuple(found)


def _paired(first: SavedRun, second: SavedRun) -> tuple[NDArray[np.int64], NDArray[np.int64]] | str:
    """Return the positions of the cases that both evaluations have, or why they cannot be paired."""
    one, other = first.report, second.report
    assert one is not None  # noqa: S101 - facts for the type checker
    assert other is not None  # noqa: S101
    if (one.split, one.repeat) != (other.split, other.repeat):
        return f"{_question(one)} and {_question(other)} are different questions"
    if [item.id for item in first.catalog] != [item.id for item in second.catalog]:
        return "they ranked different catalogs"
    cases = [
        {user: position for position, user in enumerate(report.users) if user is not None} for report in (one, other)
    ]
    shared = [user for user in cases[0] if user in cases[1]]
    if not shared:
        return "no user is in both evaluations"
    rows = tuple(np.array([each[user] for user in shared], np.int64) for each in cases)
    different = int((one.targets[rows[0]] != other.targets[rows[1]]).sum())
    if different:
        return f"{different:,} of the {len(shared):,} users in both have different items to find"
    return rows  # type: ignore[return-value]


def _question(report: Report) -> str:
    return f"{report.split!r}{' with seen items' if report.repeat else ''}"


# Values


def _fingerprint(log: Interactions) -> str:
    digest = hashlib.sha256(json.dumps(log.users).encode())
    for array in (log.offsets, log.rows, log.ratings, log.times):
        digest.update(b"-" if array is None else array.tobytes())
    return digest.hexdigest()[:12]


def _date(seconds: int) -> str:
    try:
        return datetime.fromtimestamp(int(seconds), tz=UTC).date().isoformat()
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _joined(rows: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Return name -> a value for each run."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: tuple(row.get(name) for row in rows) for name in names}


def _different(rows: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    return {name: values for name, values in rows.items() if any(value != values[0] for value in values)}


# Text


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return text if len(text) <= WIDEST else text[: WIDEST - 1] + "…"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    return [line.rstrip() for line in aligned_rows([*map(list, rows)])]


def _test_text(test: MetricTest) -> str:
    corrected = "" if test.corrected == test.p else f", {_p_text(test.corrected)} after Holm's correction"
    return f"{test.run}: {test.metric} {test.difference:+.4f} on {test.users:,} users, {_p_text(test.p)}{corrected}"


def _p_text(p: float) -> str:
    return f"p = {p:.4f}" if p >= 1e-4 else "p < 0.0001"  # noqa: PLR2004 the digits shown


def _list_lines(lists: ListComparison, first: str) -> Iterator[str]:
    yield f"lists of {lists.run} against {first}, {lists.users:,} users, {lists.n} items"
    yield (
        f"  {lists.overlap:.0%} of items in common, rank-biased overlap {lists.rank_biased_overlap:.3f}, "
        f"another top pick for {lists.other_top_pick:.0%}"
    )
    for example in lists.examples:
        yield f"  user {example.user}, overlap {example.rank_biased_overlap:.3f}"
        for name, titles in ((first, example.first), (lists.run, example.second)):
            yield f"    {name}: {', '.join(titles[:3])}"
