"""Reporting: picks, explanations and evaluations as text, JSON and pages."""
