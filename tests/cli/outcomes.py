"""What a command line's run should come to."""

from pathlib import Path

SAMPLE = str(Path(__file__).parents[2] / "catalogs" / "movies")


def refused(outcome, code, *parts):
    """Check that a command failed with one clear line on stderr and nothing on stdout."""
    assert outcome[0] == code, outcome
    assert outcome[1] == ""
    lines = outcome[2].splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("genre-gen: ")
    for part in parts:
        assert part in lines[0]
