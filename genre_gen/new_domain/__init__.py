"""New domains: a proposal from two tables, its folder, and a check before training."""
