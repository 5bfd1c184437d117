from eval.serving import folder_time


def test_loading_saving_and_requests_are_timed(saved, tmp_path, run, entry):
    assert run(folder_time, saved, "--rounds", 2, "--out", tmp_path) == 0
    content = entry(tmp_path / "folder_time.json")
    assert content.keys() == {"load", "save", "request", "table"}
    assert all(0 < low <= middle for low, middle in (content[name] for name in ("load", "save", "request")))
