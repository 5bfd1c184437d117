"""Scripts that measure the server: load, freshness, changes of the catalog, and faults."""
