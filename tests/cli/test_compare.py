"""The command that compares."""

import json
import shutil

from tests.cli.outcomes import refused


def test_comparing_prints_tables_or_json(genre, saved, tmp_path):
    copy = shutil.copytree(saved, tmp_path / "copy")
    code, out, err = genre("compare", saved, copy, "--users", "2")
    assert (code, err) == (0, "")
    for part in ("movies", "copy", "settings: no difference", "100% of items in common", "2 users, 10 items"):
        assert part in out
    code, out, _ = genre("compare", saved, copy, "--history", "Toy Story (1995)", "-n", "3", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["runs"] == ["movies", "copy"]
    assert (found["lists"][0]["users"], found["lists"][0]["n"]) == (1, 3)


def test_mistakes_are_refused(genre, saved, tmp_path):
    refused(genre("compare", saved), 2, "at least two folders")
    refused(genre("compare", saved, tmp_path / "none"), 2, "none: no such folder; give folders of trained")
    refused(genre("compare", saved, saved, "--users", "-1"), 2, "--users -1: give 0 or more")
    refused(genre("compare", saved, saved, "-n", "0"), 2)
    refused(genre("compare", saved, saved, "--user", "1", "--history", "x"), 2, "either --user or --history")
    refused(genre("compare", saved, saved, "--user", "nobody"), 1, "no user 'nobody'")
