import pytest

from eval.training import large_catalog, large_recommender, learnable, llm_alone, sampled_softmax


@pytest.fixture(autouse=True)
def tiny(monkeypatch, tiny_model):
    monkeypatch.setitem(llm_alone.ALONE, "model.llm", str(tiny_model))
    monkeypatch.setitem(llm_alone.ALONE, "model.exit_layer", 1)


def test_sampled_and_full_softmax_are_compared(run, tmp_path, entry, capsys):
    arguments = ("--quick", "--data", "law", "--epochs", 1, "--users", 20, "--out", tmp_path)
    assert run(sampled_softmax, *arguments) == 0
    found = entry(tmp_path / "sampled_softmax.json")
    assert list(found["full"][0]) == list(found["sampled"][0])
    assert {len(found[variant]) for variant in sampled_softmax.VARIANTS} == {1}
    assert found["full"][0]["steps"] == found["sampled"][0]["steps"] > 0
    assert found["full"][0]["bound"] > 0
    assert "| law | full |" in capsys.readouterr().out


def test_sizes_of_catalogs_are_compared(run, tmp_path, entry, monkeypatch, capsys):
    def in_this_process(_, n_items, options, names):
        assert {"threads", "steps", "users"} <= {*names}
        options.one = n_items
        return large_catalog.one(options)

    monkeypatch.setattr(large_catalog, "started", in_this_process)
    assert run(large_catalog, "--quick", "--items", 1682, 10000, "--users", 10, "--out", tmp_path) == 0
    found = entry(tmp_path / "large_catalog.json")
    assert found["1682"]["steps"] == found["10000"]["steps"] > 0
    assert found["10000"]["bound"] > 0
    assert "| 10,000 | 400 |" in capsys.readouterr().out


def test_recommenders_are_compared_with_the_law_and_with_what_the_log_tells(run, tmp_path, entry, monkeypatch, capsys):
    def in_this_process(_, n_items, options, names):
        options.one = n_items
        return large_recommender.one(options)

    monkeypatch.setattr(large_recommender, "started", in_this_process)
    assert run(large_recommender, "--quick", "--items", 1682, "--users", 10, "--out", tmp_path) == 0
    found = entry(tmp_path / "large_recommender.json")["1682"]
    assert found["steps"] == 3
    assert 0 < found["log"] <= found["law"] + 0.2
    assert 0 < found["llm_ms"] < found["request_ms"] + found["llm_ms"]
    assert "| 1,682 | 400 |" in capsys.readouterr().out


def test_a_log_tells_a_part_of_its_law(run, tmp_path, entry, capsys):
    assert run(learnable, "--quick", "--items", 10000, "--skews", 1, "--users", 30, "--out", tmp_path) == 0
    found = entry(tmp_path / "learnable.json")
    assert 0 < found["log"] < found["law"] < 1
    assert 0 < found["seen"] <= 1
    assert "| 150 | 400 | 1 |" in capsys.readouterr().out
