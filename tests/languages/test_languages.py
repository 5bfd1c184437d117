"""What each language that is shipped has to have, how templates are looked up, and how a new language begins."""

import re
import shutil
from pathlib import Path

import pytest

from genre_gen.data.readers import load_data
from genre_gen.domain import Domain
from genre_gen.errors import ConfigError, PromptError
from genre_gen.languages.gaps import gaps
from genre_gen.languages.language import FOLDER, Language, available, put
from genre_gen.languages.resolved import DomainLanguage
from genre_gen.new_domain.scaffold import start_domain
from genre_gen.prompting.book import PromptBook
from genre_gen.prompting.templates import copy_templates
from genre_gen.query.settings import GrammarWords

ROOT = Path(__file__).parents[2]
PROMPTS = ROOT / "prompts"
LANGUAGES = available()
OTHERS = [code for code in LANGUAGES if code != "en"]
SAMPLES = sorted(folder.name for folder in (ROOT / "catalogs").iterdir() if folder.is_dir())
ONLY_SOMEWHERE = {"behind", "excluded", "attributive", "decades", "centuries", "last_century", "counted", "ranged"}
MOVIELENS = (
    "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy", "Film-Noir",
    "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip


def domain_in(name: str, code: str) -> Domain:
    return Domain.load(ROOT / "catalogs" / name).changed({"language": code})


def macros_of(file: Path) -> set[tuple[str, str]]:
    return set(re.findall(r"{% macro (\w+)\(([\w, ]*)\) %}", file.read_text(encoding="utf-8")))


def test_chinese_is_shipped():
    assert set(LANGUAGES) == {"en", "zh"}


@pytest.mark.parametrize("code", OTHERS)
def test_a_shipped_language_has_every_template_and_every_word_of_the_page(code):
    generic = {file.name for file in (PROMPTS / "generic").glob("*.jinja")}
    assert {file.name for file in (PROMPTS / "generic" / code).glob("*.jinja")} == generic
    assert macros_of(PROMPTS / "_report" / code / "say.jinja") == macros_of(PROMPTS / "_report" / "say.jinja")
    for name in SAMPLES:
        assert not [gap for gap in gaps(domain_in(name, code)) if "template" in gap]


@pytest.mark.parametrize("code", LANGUAGES)
def test_a_shipped_language_has_words_of_every_kind(code):
    grammar = Language.load(code).query
    assert [name for name in GrammarWords.model_fields if not getattr(grammar, name)] == [
        name for name in GrammarWords.model_fields if code == "en" and name in ONLY_SOMEWHERE
    ]
    assert set(grammar.behind) <= {*grammar.below, *grammar.at_most, *grammar.above, *grammar.at_least}
    assert set(grammar.excluded) - {*grammar.negations} <= {"不要了"}
    assert set(grammar.attributive) <= set(grammar.prepositions)


@pytest.mark.parametrize("code", OTHERS)
@pytest.mark.parametrize("name", [name for name in SAMPLES if any((ROOT / "catalogs" / name).glob("??.toml"))])
def test_a_domain_with_words_of_a_language_names_all_that_it_has(name, code):
    domain = domain_in(name, code)
    assert gaps(domain, load_data(domain.changed({"data.source": None, "data.path": "."})).catalog) == ()


def test_every_genre_of_movielens_has_a_chinese_name():
    names = DomainLanguage.of(Domain.load("movies"), "zh").labels["genre"]
    assert set(MOVIELENS) <= set(names)
    assert len({names[genre] for genre in MOVIELENS}) == len(MOVIELENS)


def test_templates_of_one_language_are_all_of_it(tmp_path):
    english, chinese = PromptBook.load(Domain.load("movies")), PromptBook.load(Domain.load("movies"), "zh")
    assert not any(name.startswith("zh/") for name in english.sources)
    assert english.sources.keys() == chinese.sources.keys()
    for name, source in chinese.sources.items():
        words = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", "", source, flags=re.DOTALL)
        assert not re.search("[a-zA-Z]{2,}", words), name
    assert not any(re.search("[\u4e00-\u9fff]", source) for source in english.sources.values())


def test_a_domain_of_ones_own_is_switched_by_one_setting(tmp_path):
    folder = tmp_path / "catalogs" / "books"
    folder.mkdir(parents=True)
    (folder / "domain.toml").write_text('name = "books"\nnoun = "book"\n[data]\npath = "."\n')
    (folder / "zh.toml").write_text('noun = "图书"\n', encoding="utf-8")
    books = Domain.load(folder)
    assert "the books I chose" in PromptBook.load(books).render("next_item", history=()).messages[1].text
    chinese = books.changed({"language": "zh"})
    assert "我选过的图书" in PromptBook.load(chinese).render("next_item", history=()).messages[1].text
    assert chinese.changed({"language": "en"}).settings() == books.settings()
    own = tmp_path / "prompts" / "books" / "zh"
    own.mkdir(parents=True)
    (own / "next_item.user.jinja").write_text("下一本？", encoding="utf-8")
    (own.parent / "next_item.user.jinja").write_text("Which book?")
    assert PromptBook.load(Domain.load(folder)).render("next_item", history=()).messages[1].text == "Which book?"
    again = Domain.load(folder).changed({"language": "zh"})
    assert PromptBook.load(again).render("next_item", history=()).messages[1].text == "下一本？"
    assert PromptBook.load(again).render("next_item", history=()).messages[0].text == "你为用户推荐图书。"


def test_copies_of_templates_are_of_the_domains_language(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    copies = copy_templates(Domain.load("movies").changed({"language": "zh"}), ["intent"])
    assert {copy.parent for copy in copies} == {tmp_path / "prompts" / "movies" / "zh"}


@pytest.fixture
def begun(tmp_path, monkeypatch) -> Path:
    """Return the folder of templates of somebody who begins a language: its tables, and one template."""
    monkeypatch.chdir(tmp_path)
    tables = tmp_path / "prompts" / FOLDER
    tables.mkdir(parents=True)
    shutil.copyfile(PROMPTS / FOLDER / "en.toml", tables / "xx.toml")
    folder = tmp_path / "prompts" / "movies" / "xx"
    folder.mkdir(parents=True)
    (folder / "next_item.user.jinja").write_text("Wat nu?")
    return folder


def test_a_language_without_tables_is_refused_with_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        ConfigError, match=r"no language 'xx'; there are: en, zh\. To add it, write .*_languages/xx.toml"
    ):
        PromptBook.load(Domain.load("movies"), "xx")
    with pytest.raises(ConfigError, match="language: String should match pattern"):
        Domain.load("movies").changed({"language": "Chinese"})


def test_a_language_that_is_begun_says_what_is_missing_and_takes_nothing_from_english(begun):
    domain = Domain.load("movies").changed({"language": "xx"})
    missing = gaps(domain)
    assert f"no template next_item.system.jinja in 'xx'; write it to {begun}" in missing
    assert not any("next_item.user" in gap for gap in missing)
    with pytest.raises(PromptError, match=r"next_item.system.jinja: no such file; the task 'next_item' needs"):
        PromptBook.load(domain).render("next_item", history=())


def test_mistakes_in_tables_are_told_at_once(begun):
    file = begun.parents[1] / FOLDER / "xx.toml"
    file.write_text(file.read_text().replace('name = "English"', "nam = 1").replace('stop = "."', ""))
    with pytest.raises(ConfigError, match=r"xx\.toml: .*explain\.stop: missing.*nam: unknown key, did you mean 'name'"):
        Language.load("xx")
    file.write_text("name =")
    with pytest.raises(ConfigError, match=r"xx\.toml: not valid TOML"):
        Language.load("xx")


def test_words_that_name_no_number_field_are_refused_with_their_place():
    with pytest.raises(ConfigError, match=r"languages\.zh\.query\.贵: '\+price' is not a number field; there are year"):
        Domain.load("movies").changed({"explain.language": "zh", "languages.zh.query": {"贵": "+price"}})
    Domain.load("movies").changed({"languages.zh.query": {"贵": "+price"}})  # nobody speaks it


def test_patterns_take_text_as_it_is():
    assert put("{} of {}", "{}", "{0.__class__}") == "{} of {0.__class__}"


def test_a_new_domain_can_be_chinese_from_the_start(tmp_path):
    sample = ROOT / "catalogs" / "movies"
    tables = (sample / "interactions.csv", sample / "items.csv")
    started = start_domain("films", *tables, tmp_path, noun="电影", language="zh")
    domain = Domain.load(started.catalog_folder)
    assert (domain.language, domain.noun) == ("zh", "电影")
    assert started.prompts_folder == tmp_path / "prompts" / "films" / "zh"
    assert "genre：{{ it.genre|join('、') }}。" in (started.prompts_folder / "facts.jinja").read_text(encoding="utf-8")
    assert "我选过的电影" in PromptBook.load(domain).render("next_item", history=()).messages[1].text
    assert gaps(domain) == ()
    with pytest.raises(ConfigError, match="no language 'xx'"):
        start_domain("others", *tables, tmp_path, language="xx")
    assert not (tmp_path / "catalogs" / "others").exists()
