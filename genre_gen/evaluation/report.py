"""Report: the results of an evaluation as a table, as JSON with every user's rank, and as a plot."""

from __future__ import annotations

import json
import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from genre_gen import metrics
from genre_gen.data.arguments import check_choice, check_texts, check_type
from genre_gen.data.frames import Library, in_library
from genre_gen.data.html_table import html_block, html_table
from genre_gen.data.printable import aligned_rows
from genre_gen.errors import DataError, UsageError
from genre_gen.evaluation.significance import holm, interval, paired_test
from genre_gen.extras import require

PER_USER = {"R": metrics.recall_at, "N": metrics.ndcg_at, "MRR": metrics.mrr_at}
"""Metrics by the letters that a table uses: recall (= hit rate), NDCG, mean reciprocal rank."""

VERSIONED = ("genre-gen", "numpy", "scipy", "torch", "transformers", "scikit-surprise")
FORMAT = "genre-gen report 1"


@dataclass(frozen=True)
class Result:
    """The figures of one model.

    Attributes:
        name: the model's name.
        ranks: float64 ``[n_users]``, infinite if the target was not ranked.
        lists: figures of the recommended lists over all users, see ``list_figures``: ``coverage``, ``gini``,
            ``novelty``, ``popularity``, ``popularity_lift``, ``diversity``, ``calibration``.
        costs: costs such as ``score_seconds``, ``train_seconds``, ``peak_megabytes``.
    """

    name: str
    ranks: NDArray[np.float64]
    lists: Mapping[str, float] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)

    def values(self, metric: str) -> NDArray[np.float64]:
        """Return each user's figure for a metric such as ``N@10``: float64 ``[n_users]``; raises UsageError."""
        check_type(metric, str, "the metric", "a name such as N@10")
        letters, _, cut = metric.partition("@")
        if letters not in PER_USER or not (cut.isascii() and cut.isdigit()) or int(cut) < 1:
            raise UsageError(f"no metric {metric!r}; write R@10 (recall), N@10 (NDCG) or MRR@10, with any cut-off")
        return PER_USER[letters](self.ranks, int(cut))

    def figure(self, metric: str) -> float:
        """Return the mean over users of a metric such as ``N@10``, or a figure of the lists; raises UsageError."""
        check_type(metric, str, "the metric", "a name such as N@10")
        return float(self.lists[metric]) if metric in self.lists else float(self.values(metric).mean())


@dataclass(frozen=True)
class Comparison:
    """The comparison of a model with a peer.

    Attributes:
        peer: the peer's name.
        difference: our mean minus the peer's.
        p: two-sided p-value of the paired permutation test.
        corrected: the p-value after Holm's correction over all peers of the table.
    """

    peer: str
    difference: float
    p: float
    corrected: float


@dataclass(frozen=True)
class Report:
    """All models of one table: the same data, split, cases and allowed items.

    Attributes:
        results: results in the order of the table.
        k: cut-offs of the metrics.
        n_items: size of the ranked catalog.
        users: user ids in the order of all per-user arrays; None for a user without one.
        targets: int64 ``[n_users]`` catalog rows of the held-out items.
        data: name of the data.
        split: name of the split and its part.
        repeat: whether seen items were ranked too.
        notes: further conditions of the figures (seeds, the command), JSON values only.

    Example:
        >>> report = recommender.evaluate(split, k=10)
        >>> print(report.table("text", ["R@10", "N@10"]))
        movies, leave-one-out, test, 30 users, all 40 items ranked but the seen ones
        model R@10 N@10
        …
    """

    results: tuple[Result, ...]
    k: tuple[int, ...]
    n_items: int
    users: tuple[str | None, ...]
    targets: NDArray[np.int64]
    data: str = ""
    split: str = ""
    repeat: bool = False
    notes: Mapping[str, Any] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Result:
        """Return one model's result; raises UsageError."""
        for result in self.results:
            if result.name == name:
                return result
        names = ", ".join(result.name for result in self.results)
        raise UsageError(f"no model {name!r} in this report; it has {names}")

    def __str__(self) -> str:
        """Return the table as text."""
        return self.table("text")

    def _repr_html_(self) -> str:
        """Return accuracy, and the errors of predicted ratings, as a notebook shows them; ``table`` has the rest."""
        header, rows = self._cells(None, None)
        columns = header.index(f"95 % of {self.headline}") + 1
        header, rows = header[:columns], [row[:columns] for row in rows]
        parts = [html_table(header, rows, numbers=range(1, len(header)), caption=self.caption())]
        if errors := self.notes.get("ratings"):
            figures = [[name, f"{error['rmse']:.3f}", f"{error['mae']:.3f}"] for name, error in errors.items()]
            parts.append(html_table(["ratings of the same items", "RMSE", "MAE"], figures, numbers=(1, 2)))
        return html_block(*parts)

    @property
    def headline(self) -> str:
        """Return the metric that models are compared on: ``N@10``, or NDCG at the last cut-off if 10 is not one.

        Example:
            >>> report.headline
            'N@10'
        """
        return f"N@{10 if 10 in self.k else self.k[-1]}"  # noqa: PLR2004 the usual cut-off

    def caption(self) -> str:
        """Return a description of data, split and protocol in one line.

        Example:
            >>> report.caption()
            'movies, leave-one-out, test, 30 users, all 40 items ranked but the seen ones'
        """
        missing = self.notes.get("picks", {}).get("users_without_picks", 0)
        parts = [
            *(part for part in (self.data, self.split) if part),
            f"{len(self.targets):,} users" + (f", {missing:,} of them without picks" if missing else ""),
            f"all {self.n_items:,} items ranked" + ("" if self.repeat else " but the seen ones"),
        ]
        return ", ".join(parts)

    def interval(self, name: str, metric: str) -> tuple[float, float]:
        """Return the 95 % bootstrap interval of a model's metric over users.

        Example:
            >>> low, high = report.interval("GENRE", "R@10")
            >>> low <= report["GENRE"].figure("R@10") <= high
            True
        """
        return interval(self[name].values(metric))

    def compare(self, ours: str, metric: str | None = None) -> list[Comparison]:
        """Test one model against every other of the table on a metric (None: the headline), with Holm's correction.

        Example:
            >>> comparison = report.compare("GENRE")[0]
            >>> comparison.peer, 0 <= comparison.p <= comparison.corrected <= 1
            ('…', True)
        """
        metric = metric or self.headline
        mine = self[ours].values(metric)
        peers = [result for result in self.results if result.name != ours]
        p_values = [paired_test(mine, peer.values(metric)) for peer in peers]
        return [
            Comparison(peer.name, float(mine.mean() - peer.values(metric).mean()), p, float(corrected))
            for peer, p, corrected in zip(peers, p_values, holm(p_values), strict=True)
        ]

    def join(self, *others: Report) -> Report:
        """Return one report with the models of all reports.

        Raises:
            UsageError: the reports have different cases or protocols, or two models have the same name.

        Example:
            >>> from dataclasses import replace
            >>> first, second = (replace(report, results=(result,)) for result in report.results[:2])
            >>> first.join(second).results == report.results[:2]
            True
        """
        question = attrgetter("data", "split", "repeat", "n_items", "users")
        for other in others:
            check_type(other, Report, "a report to join", "reports of evaluate")
            if question(self) != question(other) or not np.array_equal(self.targets, other.targets):
                raise UsageError(
                    f"these reports cannot be joined: {self.caption()!r} and {other.caption()!r}; "
                    "their models must rank the same items for the same users"
                )
        results = tuple(result for report in (self, *others) for result in report.results)
        names = [result.name for result in results]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise UsageError(f"two models are named {repeated[0]!r}; rename one before joining")
        notes = {key: value for report in (self, *others) for key, value in report.notes.items()}
        return replace(self, results=results, notes=notes)

    def table(
        self,
        form: Literal["markdown", "text"] = "markdown",
        metrics: Sequence[str] | None = None,
        ours: str | None = None,
    ) -> str:
        """Return the table.

        Args:
            form: Markdown, or text with aligned columns.
            metrics: columns such as ``R@10``, or figures of the lists such as ``diversity`` (empty for models without
                it); None for recall and NDCG at the report's cut-offs, the interval of the headline, and all figures of
                lists and costs.
            ours: a model to test against all others; adds the corrected p-value on the headline.

        Example:
            >>> print(report.table(metrics=["R@10"]))
            | model | R@10 |
            | --- | ---: |
            …
        """
        check_choice(form, "form", ("markdown", "text"))
        if metrics is not None:
            metrics = check_texts(metrics, "metrics", "a list of names such as N@10")
        header, rows = self._cells(metrics, ours)
        if form == "markdown":
            lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
            return "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n".join([self.caption(), *aligned_rows([header, *rows])])

    def _cells(self, chosen: Sequence[str] | None, ours: str | None) -> tuple[list[str], list[list[str]]]:
        columns = list(chosen or [f"{letters}@{cut}" for letters in ("R", "N") for cut in self.k])
        sure = self.headline if chosen is None else None
        lists, costs = (_keys(self.results, kind) if chosen is None else [] for kind in ("lists", "costs"))
        p_values = {one.peer: _p_text(one.corrected) for one in self.compare(ours)} if ours else {}
        header = ["model", *columns, *([f"95 % of {sure}"] if sure else []), *lists]
        header += [COST_NAMES.get(cost, cost) for cost in costs] + (
            [f"p of {self.headline} against {ours}"] if ours else []
        )
        known = set(_keys(self.results, "lists"))
        rows = []
        for result in self.results:
            lacking = known - set(result.lists)
            row = [result.name, *("" if name in lacking else f"{result.figure(name):.4f}" for name in columns)]
            if sure:
                row.append("{:.4f} to {:.4f}".format(*self.interval(result.name, sure)))
            row += [f"{result.lists[key]:,.3g}" if key in result.lists else "" for key in lists]
            row += [f"{result.costs[key]:,.1f}" if key in result.costs else "" for key in costs]
            rows.append(row + ([p_values.get(result.name, "")] if ours else []))
        return header, rows

    def to_frame(self, library: Library = "polars", *, per_user: bool = False) -> Any:
        """Return a data frame with a model a row, or a user and model.

        Columns are ``model``, the metrics at the report's cuts (``R@10``), and the figures of the lists and the costs,
        null where a model has none. With ``per_user``: ``model``, ``user_id``, ``rank`` (infinite where the target was
        not ranked) and each user's metrics.

        Example:
            >>> report.to_frame().columns[:3], len(report.to_frame(per_user=True)) == len(report.results) * 30
            (['model', 'R@10', 'N@10'], True)

        Raises:
            UsageError, MissingPackageError: as :func:`genre_gen.data.frames.in_library`.
        """
        keys = [f"{letters}@{cut}" for letters in PER_USER for cut in self.k]
        if per_user:
            ranked = [
                pl.DataFrame(
                    {"model": [result.name] * len(self.users), "user_id": self.users, "rank": result.ranks}
                    | {key: result.values(key) for key in keys},
                    schema_overrides={"model": pl.String, "user_id": pl.String},
                )
                for result in self.results
            ]
            return in_library(pl.concat(ranked), library)
        costs, lists = _keys(self.results, "costs"), _keys(self.results, "lists")
        columns: dict[str, list[float | None]] = {key: [each.figure(key) for each in self.results] for key in keys}
        columns |= {key: [result.lists.get(key) for result in self.results] for key in lists}
        columns |= {key: [result.costs.get(key) for result in self.results] for key in costs}
        frame = pl.DataFrame(columns, schema=dict.fromkeys(columns, pl.Float64))
        return in_library(frame.insert_column(0, pl.Series("model", [each.name for each in self.results])), library)

    def summary(self) -> dict[str, Any]:
        """Return the figures of each model without anything by user, JSON values only, for a model card.

        Example:
            >>> report.summary()["split"], report.summary()["users"]
            ('leave-one-out, test', 30)
        """
        wanted = [f"{letters}@{cut}" for letters in PER_USER for cut in self.k]
        return {
            "split": self.split,
            "k": list(self.k),
            "users": len(self.targets),
            "items": self.n_items,
            "headline": self.headline,
            "figures": {
                result.name: {metric: round(result.figure(metric), 6) for metric in wanted} for result in self.results
            },
            "ratings": self.notes.get("ratings") or {},
        }

    def to_json(self) -> str:
        """Return the report as JSON: figures with intervals, users' ranks (null = not ranked), protocol, versions.

        Example:
            >>> size = Path("evaluation.json").write_text(report.to_json(), encoding="utf-8")
        """
        metrics_here = [f"{letters}@{cut}" for letters in PER_USER for cut in self.k]
        return json.dumps(
            {
                "format": FORMAT,
                "data": self.data,
                "split": self.split,
                "protocol": {
                    "ranked": "the full catalog" if self.repeat else "the full catalog but the items of the history",
                    "target": "always ranked",
                    "ties": "half of the tied items count as above",
                    "intervals": "95 %, percentile bootstrap over users, 2000 samples, seed 0",
                },
                "repeat": self.repeat,
                "k": list(self.k),
                "n_items": self.n_items,
                "n_users": len(self.targets),
                "notes": dict(self.notes),
                "versions": _versions(),
                "users": list(self.users),
                "targets": self.targets.tolist(),
                "results": [
                    {
                        "name": result.name,
                        "figures": {metric: result.figure(metric) for metric in metrics_here},
                        "intervals": {metric: self.interval(result.name, metric) for metric in metrics_here},
                        "lists": dict(result.lists),
                        "costs": dict(result.costs),
                        "ranks": [rank if math.isfinite(rank) else None for rank in result.ranks.tolist()],
                    }
                    for result in self.results
                ],
            },
            allow_nan=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read a report from JSON, to join or test it again; raises DataError if the text is not a report.

        Example:
            >>> Report.from_json(report.to_json()).caption() == report.caption()
            True
        """
        try:
            content = json.loads(text)
            if content["format"] != FORMAT:
                raise DataError(f"the report's format is {content['format']!r}, expected {FORMAT!r}; evaluate again")
            results = tuple(
                Result(
                    one["name"],
                    np.array([math.inf if rank is None else rank for rank in one["ranks"]], dtype=np.float64),
                    one["lists"],
                    one["costs"],
                )
                for one in content["results"]
            )
            return cls(
                results,
                tuple(content["k"]),
                content["n_items"],
                tuple(content["users"]),
                np.array(content["targets"], dtype=np.int64),
                content["data"],
                content["split"],
                content["repeat"],
                content["notes"],
            )
        except (json.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(f"this is not a report of genre-gen ({error!r}); write one with Report.to_json") from error

    def plot(self, path: str | Path, metric: str | None = None, ours: str | None = None) -> None:
        """Plot the models' figures with intervals into a PNG (or the format of the suffix); ``ours`` is highlighted.

        Example:
            >>> report.plot("evaluation.png", "R@10", ours="GENRE")
        """
        plot_reports([self], path, metric, ours)


def plot_reports(
    reports: Sequence[Report], path: str | Path, metric: str | None = None, ours: str | None = None
) -> None:
    """Plot one panel per report (such as a data set): bars sorted by the metric, 95 % intervals, values at the bars."""
    if not reports:
        raise UsageError("there is no report to plot; give at least one")
    backend = require("matplotlib.backends.backend_agg", "plots", "plots")
    figures = require("matplotlib.figure", "plots", "plots")
    heights = [len(report.results) for report in reports]
    figure = figures.Figure(figsize=(8, 1.2 * len(reports) + 0.42 * sum(heights)), layout="constrained")
    backend.FigureCanvasAgg(figure)  # needs no display and no global state of pyplot
    panels = figure.subplots(len(reports), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for panel, report in zip(panels, reports, strict=True):
        _draw(panel, report, metric or report.headline, ours)
    figure.savefig(path, dpi=150)


OURS_COLOUR, PEER_COLOUR, INK = "#0072B2", "#B8BEC4", "#222222"  # distinguishable with every kind of colour vision
METRIC_NAMES = {"R": "Recall", "N": "NDCG", "MRR": "MRR"}
COST_NAMES = {"score_seconds": "score s", "train_seconds": "train s", "peak_megabytes": "peak MB"}


def _draw(panel: Any, report: Report, metric: str, ours: str | None) -> None:
    results = sorted(report.results, key=lambda result: result.figure(metric))
    values = np.array([result.figure(metric) for result in results])
    ends = np.array([report.interval(result.name, metric) for result in results])
    colours = [OURS_COLOUR if result.name == ours else PEER_COLOUR for result in results]
    places = np.arange(len(results))
    errors = np.abs(ends - values[:, None]).T
    panel.barh(places, values, color=colours, height=0.68)
    panel.errorbar(values, places, xerr=errors, fmt="none", ecolor=INK, elinewidth=1.2, capsize=3)
    for place, value, (_, high) in zip(places, values, ends, strict=True):
        end = (max(high, value), place)
        panel.annotate(f"{value:.3f}", end, (5, 0), textcoords="offset points", va="center", color=INK)
    panel.set_yticks(places, [result.name for result in results])
    panel.set_xlim(0, max(float(ends.max()), float(values.max()), 1e-9) * 1.12)
    letters, _, cut = metric.partition("@")
    panel.set_xlabel(f"{METRIC_NAMES[letters]}@{cut}, mean over users with 95 % bootstrap interval")
    panel.set_title(report.caption(), loc="left", fontsize=10)
    panel.spines[["top", "right", "left"]].set_visible(False)
    panel.tick_params(axis="y", length=0)


def _keys(results: Sequence[Result], kind: Literal["lists", "costs"]) -> list[str]:
    """Return the names of figures in any result, in order of appearance."""
    return list(dict.fromkeys(key for result in results for key in getattr(result, kind)))


def _p_text(p: float) -> str:
    return f"{p:.4f}" if p >= 1e-4 else "< .0001"  # noqa: PLR2004 the digits shown


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in VERSIONED:
        with suppress(metadata.PackageNotFoundError):
            versions[package] = metadata.version(package)
    return versions
