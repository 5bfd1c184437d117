"""New domains: inferred from two tables, written to a folder, and validated before training."""
