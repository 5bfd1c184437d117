"""What the scripts share: cases, jobs, results, tables, plots, and the command line."""
