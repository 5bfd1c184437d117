"""The common code of the scripts: cases, jobs, results, tables, plots, and the command line."""
