"""Constrained decoding: only items of the catalog, the best first, each at most once."""
