def test_look(saved, tiny_recommender, tmp_path):
    print((saved / "README.md").read_text())
    tiny_recommender.save_pretrained(tmp_path / "x", histories=False)
    print((tmp_path / "x" / "README.md").read_text())
    print([p.name for p in (tmp_path / "x").rglob("*")])
