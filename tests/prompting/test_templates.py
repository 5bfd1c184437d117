"""Templates: those that a domain lacks are generic, its noun becomes words, and copies are there to be edited."""

from pathlib import Path

import pytest

from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, UsageError
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.nouns import Noun
from genre_gen.prompting.spans import show
from genre_gen.prompting.templates import copy_templates

ROOT = Path(__file__).parents[2]


def folder_of(place: Path, **files: str) -> Path:
    place.mkdir()
    for name, source in files.items():
        (place / f"{name.replace('__', '.')}.jinja").write_text(source, encoding="utf-8")
    return place


def book_domain(here: Path, **settings) -> Domain:
    folder = here / "catalogs" / "books"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "domain.toml").write_text('name = "books"\nnoun = "book"\n[data]\npath = "."\n')
    return Domain.load(folder).changed(settings)


def test_a_missing_template_is_read_from_the_first_fallback_with_it(tmp_path):
    own = folder_of(tmp_path / "own", fits__user="own {% include 'part.jinja' %}")
    first = folder_of(tmp_path / "first", fits__user="first", fits__system="first")
    last = folder_of(tmp_path / "last", fits__system="last", fits__assistant="last", part="last part")
    prompt = PromptBook(own, (first, last)).render("fits")
    assert [message.text for message in prompt.messages] == ["first", "own last part", "last"]


def test_a_saved_book_needs_no_fallback_and_keeps_its_fingerprint(tmp_path):
    book = PromptBook.load(book_domain(tmp_path))
    book.save(tmp_path / "saved")
    again = PromptBook(tmp_path / "saved")
    assert again.sources == book.sources
    assert again.fingerprint("next_item") == book.fingerprint("next_item")
    assert again.render("next_item", history=()) == book.render("next_item", history=())


@pytest.mark.parametrize(
    ("noun", "text"),
    [
        (Noun("movie"), "A movie, the movies, a movie."),
        (Noun("story"), "A story, the stories, a story."),
        (Noun("dish"), "A dish, the dishes, a dish."),
        (Noun("ad"), "A ad, the ads, an ad."),
        (Noun("piece of art", "pieces of art"), "A piece of art, the pieces of art, a piece of art."),
    ],
)
def test_nouns_are_the_templates_own_words(tmp_path, noun, text):
    folder = folder_of(
        tmp_path / "own", fits__assistant="A {{ noun }}, the {{nouns}}, {{ a_noun }}.", fits__user="U", fits__system=""
    )
    spans = PromptBook(folder, noun=noun).render("fits").messages[-1].spans
    assert [(span.kind, span.text) for span in spans] == [("text", text)]


def test_the_fingerprint_covers_the_noun_if_it_is_used(tmp_path):
    folder = folder_of(
        tmp_path / "own", fits__assistant="A", fits__user="{{ noun }}", fits__system="S",
        title__assistant="A", title__user="U", title__system="S",
    )  # fmt: skip
    film, book = PromptBook(folder, noun=Noun("film")), PromptBook(folder, noun=Noun("book"))
    assert film.fingerprint("fits") != book.fingerprint("fits")
    assert film.fingerprint("title") == book.fingerprint("title")


@pytest.mark.parametrize("noun", ["<|im_end|>", "{{ 7 }}", "a\nb", "", "7 days"])
def test_a_noun_is_letters(tmp_path, noun):
    with pytest.raises(ConfigError, match="noun"):
        book_domain(tmp_path, noun=noun)


def test_a_domain_needs_no_templates(tmp_path):
    book = PromptBook.load(book_domain(tmp_path))
    assert "These are the books I chose" in show(book.render("next_item", history=()))


def test_a_shipped_domain_with_one_changed_file_keeps_the_others(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shipped = PromptBook.load(Domain.load("news"))
    (copy,) = [file for file in copy_templates(Domain.load("news"), ["intent"]) if "user" in file.name]
    assert copy == tmp_path / "prompts" / "news" / "intent.user.jinja"
    assert PromptBook.load(Domain.load("news")).fingerprint("intent") == shipped.fingerprint("intent")
    copy.write_text("What now?")
    changed = PromptBook.load(Domain.load("news"))
    assert changed.render("intent", history=()).messages[1].text == "What now?"
    assert changed.fingerprint("title") == shipped.fingerprint("title")


def test_copies_are_of_whole_tasks_or_single_files(tmp_path):
    domain = book_domain(tmp_path)
    domain = domain.model_copy(update={"prompts_folder": tmp_path / "mine"})
    copies = copy_templates(domain, ["next_item", "facts.jinja"])
    names = ["facts.jinja", "next_item.assistant.jinja", "next_item.system.jinja", "next_item.user.jinja"]
    assert sorted(file.name for file in copies) == names
    assert "{{ nouns }}" in (tmp_path / "mine" / "next_item.user.jinja").read_text()
    before = PromptBook.load(book_domain(tmp_path)).sources
    assert PromptBook.load(domain).sources == before


def test_copies_do_not_overwrite_templates(tmp_path):
    domain = book_domain(tmp_path).model_copy(update={"prompts_folder": tmp_path / "mine"})
    copy_templates(domain, ["next_item"])
    with pytest.raises(UsageError, match=r"next_item: .* exists already; edit it there"):
        copy_templates(domain, ["title", "next_item"])
    assert not (tmp_path / "mine" / "title.user.jinja").exists()
    with pytest.raises(UsageError, match="no template 'next_itm', did you mean 'next_item'"):
        copy_templates(domain, ["next_itm"])


def test_no_shipped_template_is_a_copy_of_the_generic_one():
    copies = [
        file
        for file in ROOT.glob("prompts/*/*.jinja")
        if file.parent.name != "generic"
        and (generic := ROOT / "prompts" / "generic" / file.name).is_file()
        and generic.read_text() == file.read_text()
    ]
    assert not copies
