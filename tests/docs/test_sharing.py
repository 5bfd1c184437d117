"""The guide about sharing, whose examples push to a hub on this machine."""

from local_hub import local_hub

from tests.docs.pages import DOCS, Session, blocks


def test_examples_run_and_print_what_the_page_says(workplace, genre_home, tiny_model, tmp_path, monkeypatch):
    with local_hub(monkeypatch, tmp_path, tiny_model) as hub:
        monkeypatch.setenv("GENRE_HOME", str(genre_home))
        hub.tokens["good"].add("owner")
        session = Session(replaced={"196": "17"})
        for block in blocks(DOCS / "guides" / "sharing.md"):
            session.run(block)
        assert hub.repositories["owner/movies"].private
        assert "histories.safetensors" not in hub.head("owner/movies")
