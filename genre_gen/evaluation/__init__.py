"""Evaluation: metrics, one protocol for all models, how sure the figures are, and the report."""

from __future__ import annotations

from genre_gen.evaluation.protocol import evaluate, evaluate_lists, evaluate_scorers, lists_from_picks
from genre_gen.evaluation.report import Report, Result, plot_reports

__all__ = [
    "Report",
    "Result",
    "evaluate",
    "evaluate_lists",
    "evaluate_scorers",
    "lists_from_picks",
    "plot_reports",
]
