from eval.serving import folder_time


def test_loading_saving_and_requests_are_timed(saved, tmp_path, run, entry):
    assert run(folder_time, saved, "--rounds", 2, "--out", tmp_path) == 0
    content = entry(tmp_path / "folder_time.json")
    assert {name for name, (low, middle) in content.items() if name != "table" and 0 < low <= middle} == {
        "load",
        "save",
        "request",
    }
