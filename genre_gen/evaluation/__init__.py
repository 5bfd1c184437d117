"""Evaluation: one protocol for all models, significance tests, and the report."""
