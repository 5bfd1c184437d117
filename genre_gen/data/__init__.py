"""Data: catalogs, interactions, splits, labels, knowledge, filters, and the readers of files."""
