"""Evaluation: one protocol for all models, how sure the figures are, and the report."""
