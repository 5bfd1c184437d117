"""Triples about items: reading, links that tie them to the wrong items, what is cited of them, and its check."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest

from genre_gen import Recommender
from genre_gen.data.catalog import Catalog, Item
from genre_gen.data.interactions import Interactions
from genre_gen.data.knowledge import Knowledge
from genre_gen.data.readers import load_catalog
from genre_gen.domain import Domain
from genre_gen.errors import GenreGenError
from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.explainer import Explainer
from genre_gen.explain.facts import Fact, Reason
from genre_gen.explain.wording import Sentences, vocabulary
from genre_gen.prompting.book import PromptBook
from tests.explain.books import shipped_book
from tests.explain.test_evidence import ALIEN, ALIENS, CATALOG, DATA, DOMAIN, HEAT, SOLARIS, facts, history

RELATIONS = {
    "maker": {"relation": "made_by", "plural": "makers"},
    "sequel": {"relation": "sequel_of", "items": True},
    "language": {"relation": "spoken"},
}
GRAPHED = DOMAIN.changed({"knowledge.triples": "triples.csv", "knowledge.relations": RELATIONS})
MOVIES = PromptBook.load(Domain.load("movies"))
TRIPLES = """head,relation,tail
Alien (1979),made_by,Giger
aliens,made_by,Giger
2,made_by,Hurd
Heat (1995),made_by,Mann
Aliens (1986),sequel_of,Alien (1979)
Alien (1979),spoken,en
Aliens (1986),spoken,en
Heat (1995),spoken,en
Nobody's film,made_by,Giger
Heat (1995),unheard_of,x
"""


def graph_of(folder, text=TRIPLES, **changes) -> Knowledge | None:
    (folder / "triples.csv").write_text(text, encoding="utf-8")
    domain = GRAPHED.changed(changes) if changes else GRAPHED
    return Knowledge.of_domain(domain.model_copy(update={"catalog_folder": folder}), CATALOG)


@pytest.fixture
def graph(tmp_path) -> Knowledge:
    found = graph_of(tmp_path)
    assert found is not None
    return found


def test_heads_are_titles_or_ids_and_other_relations_are_left_out(graph):
    assert graph.relations == ("maker", "sequel", "language")
    assert len(graph.triples) == 8
    assert graph.shared(ALIENS, 0).tolist() == [1, 2, 0, 0, 0, 0]
    assert graph.tails(ALIENS, 1).tolist() == [ALIEN]
    assert graph.tails(ALIEN, 1).tolist() == []


def test_a_graph_of_entities_is_tied_to_items_by_links(tmp_path):
    (tmp_path / "films.kg").write_text(
        "head_id:token\trelation_id:token\ttail_id:token\nm.1\tmade_by\tm.9\nm.2\tmade_by\tm.9\nm.2\tsequel_of\tm.1\n"
    )
    (tmp_path / "films.link").write_text("item_id:token\tentity_id:token\n1\tm.1\n2\tm.2\n77\tm.3\n")
    found = graph_of(tmp_path, **{"knowledge.triples": "films.kg", "knowledge.links": "films.link"})
    assert found is not None
    assert found.triples.tolist() == [[ALIEN, 0, 0], [ALIENS, 0, 0], [ALIENS, 1, ALIEN]]
    assert found.entities == ("m.9",)


def test_links_by_the_ids_of_another_catalog_are_tied_by_title(tmp_path):
    (tmp_path / "triples.link").write_text("item_id:token\tentity_id:token\n500\tA\n501\tB\n1\tC\n")
    (tmp_path / "others").mkdir()
    (tmp_path / "others" / "items.csv").write_text("item_id,title\n500,Aliens (1986)\n501,Alien (1979)\n")
    (tmp_path / "others" / "interactions.csv").write_text("user_id,item_id\nu,500\n")
    files = {"knowledge.links": "triples.link", "knowledge.items": "others"}
    found = graph_of(tmp_path, "head,relation,tail\nA,sequel_of,B\nC,sequel_of,B\n", **files)
    assert found is not None
    assert found.triples.tolist() == [[ALIENS, 1, ALIEN]]


def test_it_survives_saving(graph):
    again = Knowledge.from_arrays(graph.arrays())
    assert replace(again, triples=graph.triples) == graph
    assert (again.triples == graph.triples).all()


def test_files_that_are_not_there_are_said_to_be_left_out(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        domain = GRAPHED.changed({"knowledge.links": "no.link"}).model_copy(update={"catalog_folder": tmp_path})
        assert Knowledge.of_domain(domain, CATALOG) is None
    assert "triples.csv, no.link was found neither next to" in caplog.text
    assert Knowledge.of_domain(DOMAIN, CATALOG) is None


def shelves(n=80) -> Catalog:
    """Return items of four kinds, in turn."""
    return Catalog(Item(str(row), f"Film {row}", {"genre": (f"kind {row % 4}",)}) for row in range(n))


def test_links_to_the_wrong_items_are_noticed():
    # who is of one maker is of one kind
    triples = np.array([[row, 0, row % 8] for row in range(80)])
    right = Knowledge(80, ("maker",), (False,), tuple("abcdefgh"), triples)
    assert right.agrees(shelves())
    assert right.likeness(shelves())[:2] == (360, 1.0)
    moved = np.column_stack([np.random.default_rng(0).permutation(80), triples[:, 1:]])
    assert not replace(right, triples=moved).agrees(shelves())


def test_links_that_cannot_be_tested_are_accepted():
    few = Knowledge(80, ("maker",), (False,), ("a",), np.array([[0, 0, 0], [1, 0, 0]]))
    assert few.agrees(shelves())
    assert few.agrees(Catalog(Item(str(row), f"Film {row}") for row in range(80)))


def test_wrong_links_are_left_out_with_a_warning(tmp_path, caplog):
    rows = np.random.default_rng(0).permutation(80)
    text = "head,relation,tail\n" + "".join(f"{row},made_by,{place % 8}\n" for place, row in enumerate(rows))
    (tmp_path / "triples.csv").write_text(text)
    domain = GRAPHED.model_copy(update={"catalog_folder": tmp_path})
    assert Knowledge.of_domain(domain, shelves()) is None
    assert "to the wrong items" in caplog.text


@pytest.mark.slow
def test_the_links_of_the_films_are_right():
    domain = Domain.load("movies")
    try:
        catalog = load_catalog(domain)[0]
    except GenreGenError as problem:
        pytest.skip(str(problem))
    graph = Knowledge.of_domain(domain, catalog)
    assert graph is not None
    _, right, shuffled = graph.likeness(catalog)
    assert right > max(shuffled)
    shifted = np.column_stack([(graph.triples[:, 0] + 1) % graph.n_items, graph.triples[:, 1:]])
    assert replace(graph, triples=shifted).likeness(catalog)[1] < right


def test_shared_entities_and_sequels_are_cited(graph):
    shared = Fact(ALIENS, "linked", ALIEN, "maker", numbers=(1,))
    sequel = Fact(ALIENS, "linked", ALIEN, "sequel")
    evidence = Evidence(CATALOG, DATA, GRAPHED.changed({"knowledge.max_share": 1.0}), graph)
    found = evidence.reasons(history((HEAT, 5), (ALIEN, 5)), ALIENS, n=20)
    assert sequel in facts(found)
    assert {reason.kind for reason in found if reason.anchor == HEAT} <= {"linked"}  # the language, if anything
    # the other way round it is no sequel
    back = evidence.reasons(history((ALIENS, 5)), ALIEN)
    assert Fact(ALIEN, "linked", ALIENS, "maker", numbers=(1,)) in facts(back)
    assert sequel.text(CATALOG) == "Aliens (1986) | linked sequel | Alien (1979)"
    assert shared.text(CATALOG) == "Aliens (1986) | linked maker | Alien (1979) | 1"


def test_entities_of_too_many_items_are_not_cited(tmp_path):
    items = Catalog(Item(str(row), f"Film {row}") for row in range(60))
    data = Interactions.from_columns(["u"], np.array([0]), 60)
    rare = [[row, 0, 0] for row in range(3)]  # 3 of 60 share a maker
    common = [[row, 2, 1] for row in range(30)]  # half of them a language
    graph = Knowledge(60, ("maker", "sequel", "language"), (False, True, False), ("m", "en"), np.array(rare + common))
    evidence = Evidence(items, data, GRAPHED, graph)
    assert Fact(0, "linked", 1, "maker", numbers=(1,)) in facts(evidence.reasons(history((1, 5)), 0))
    assert not any(fact.relation == "linked" for fact in facts(evidence.reasons(history((20, 5)), 0)))


def test_disliked_items_are_not_tied_to_the_pick(graph):
    found = Evidence(CATALOG, DATA, GRAPHED, graph).reasons(history((ALIEN, 2)), ALIENS)
    assert not any(fact.relation == "linked" for fact in facts(found))


@pytest.mark.parametrize("name", ["maker", "sequel"])
def test_the_check_knows_the_links(graph, name):
    checker = Checker(CATALOG, DATA, GRAPHED, knowledge=graph)
    seen = history((ALIEN, 5), (HEAT, 5), (SOLARIS, 5))
    true = Fact(ALIENS, "linked", ALIEN, name, numbers=(1,) if name == "maker" else ())
    assert checker.holds(true, seen, ALIENS)
    assert not checker.holds(replace(true, object=HEAT), seen, ALIENS)
    assert not checker.holds(replace(true, numbers=(2,)), seen, ALIENS)
    assert not checker.holds(replace(true, field="language" if name == "sequel" else "sequel"), seen, ALIENS)
    assert not Checker(CATALOG, DATA, GRAPHED).holds(true, seen, ALIENS)


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("Aliens (1986) shares a maker with Alien (1979), which you gave 5 stars.", True),
        ("Aliens (1986) is the sequel of Alien (1979).", True),
        ("Aliens (1986) shares 2 makers with Alien (1979).", False),
        ("Aliens (1986) shares makers with Alien (1979).", False),
        ("Aliens (1986) shares a maker with Heat (1995).", False),
        ("Aliens (1986) is the sequel of Heat (1995).", False),
        ("It is a sequel.", False),
        ("It shares a maker with Annie Hall (1977).", False),
        ("You gave Alien (1979) 5 stars, and 1 maker is the same.", True),
        ("You gave Alien (1979) 5 stars, and 2 makers are the same.", False),
    ],
)
def test_the_check_reads_links(graph, text, ok):
    checker = Checker(CATALOG, DATA, GRAPHED, knowledge=graph)
    assert checker.check(text, history((ALIEN, 5), (HEAT, 4)), ALIENS).ok == ok


@pytest.mark.parametrize("name", ["movies", "generic", "ecommerce", "news", "ads", "travel"])
def test_every_domain_has_words_for_links_and_they_are_true(graph, name):
    book = shipped_book(name)
    evidence = Evidence(CATALOG, DATA, GRAPHED, graph)
    checker = Checker(CATALOG, DATA, GRAPHED, vocabulary(book), graph)
    seen = history((ALIEN, np.nan))
    for field, numbers in (("maker", (1,)), ("sequel", ())):
        fact = Fact(ALIENS, "linked", ALIEN, field, numbers=numbers)
        said = Sentences(book, evidence, seen, ALIENS, [Reason("linked", (Fact(None, "had", ALIEN), fact), 1, ALIEN)])
        for text in said.first[0] + said.later[0]:
            assert checker.check(text, seen, ALIENS).problems == ()
            assert field in text


def test_a_saved_recommender_carries_its_knowledge_and_old_folders_get_theirs(tiny_recommender, saved, tmp_path):
    trained = tiny_recommender.state.knowledge
    assert trained is not None
    loaded = Recommender.from_pretrained(saved)
    assert loaded.state.knowledge is not None
    assert (loaded.state.knowledge.triples == trained.triples).all()
    assert "sequel of Alien (1979)" in loaded.explain([("Alien (1979)", 5)], "Aliens (1986)").text
    Recommender.from_state(replace(loaded.state, knowledge=None)).save_pretrained(tmp_path / "old")
    old = Recommender.from_pretrained(tmp_path / "old")
    assert old.state.knowledge is None
    assert old.explain([("Alien (1979)", 5)], "Aliens (1986)").text
    old.load_knowledge("movies")
    assert old.state.knowledge is not None
    assert (old.state.knowledge.triples == trained.triples).all()


# What is rated alike


def rated(*logs) -> Interactions:
    flat = [(f"u{user}", row, stars) for user, log in enumerate(logs) for row, stars in log]
    users, rows, stars = zip(*flat, strict=True)
    return Interactions.from_columns(users, np.array(rows), 6, np.array(stars, np.float32))


# Who likes Alien likes Aliens, 6 of 7; others do not.
ALIKE = rated(
    *[[(ALIEN, 5), (ALIENS, 4)] for _ in range(6)],
    [(ALIEN, 4), (ALIENS, 2)],
    [(ALIEN, 2), (ALIENS, 5)],
    *[[(HEAT, 5), (ALIENS, 1)] for _ in range(8)],
)
FACTORS = np.array([[1.0, 0.1], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0], [-1.0, 0.0], [0.0, 0.0]])


def test_the_nearest_by_factors_are_cited_with_the_ratings_themselves():
    evidence = Evidence(CATALOG, ALIKE, DOMAIN, factors=FACTORS)
    fact = Fact(ALIEN, "liked_too", ALIENS, numbers=(6, 7))
    assert fact in facts(evidence.reasons(history((ALIEN, 5)), ALIENS, n=20))
    assert fact not in facts(evidence.reasons(history((ALIEN, 2)), ALIENS, n=20))
    # nobody who liked Heat liked Aliens; Solaris is far from it; and without factors nothing is near
    for asked, other in ((evidence, HEAT), (evidence, SOLARIS), (Evidence(CATALOG, ALIKE, DOMAIN), ALIEN)):
        found = facts(asked.reasons(history((other, 5)), ALIENS, n=20))
        assert not any(fact.relation == "liked_too" for fact in found)


def test_the_check_counts_who_liked_both():
    checker = Checker(CATALOG, ALIKE, DOMAIN)
    seen = history((ALIEN, 5), (HEAT, 5))
    assert checker.holds(Fact(ALIEN, "liked_too", ALIENS, numbers=(6, 7)), seen, ALIENS)
    for wrong in ((7, 7), (6, 8), (6,)):
        assert not checker.holds(Fact(ALIEN, "liked_too", ALIENS, numbers=wrong), seen, ALIENS)
    assert not checker.holds(Fact(HEAT, "liked_too", ALIENS, numbers=(6, 7)), seen, ALIENS)
    text = "You gave Alien (1979) 5 stars, and 6 of the 7 people who liked it and rated Aliens (1986) liked both."
    assert checker.check(text, seen, ALIENS).ok
    assert not checker.check(text.replace("6 of", "5 of"), seen, ALIENS).ok


@pytest.mark.parametrize("name", ["movies", "generic", "ecommerce", "travel"])
def test_domains_with_ratings_have_words_for_it(name):
    book = shipped_book(name)
    explainer = Explainer(Evidence(CATALOG, ALIKE, DOMAIN, factors=FACTORS), book)
    checker = Checker(CATALOG, ALIKE, DOMAIN, vocabulary(book))
    seen = history((ALIEN, 5))
    said = explainer.sentences(seen, ALIENS)
    place = next(place for place, reason in enumerate(said.reasons) if reason.kind == "similar")
    for text in said.ways(place, first=True) + said.ways(place, first=False):
        assert checker.check(text, seen, ALIENS).problems == ()
        assert "6 of the 7" in text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"triples": [[2, 0, 0]]}, "name items or relations"),
        ({"triples": [[0, 2, 0]]}, "name items or relations"),
        ({"triples": [[0, 0, 3]]}, "name entities that are not there"),
        ({"triples": [[0, 1, 2]]}, "name entities that are not there"),
        ({"triples": [[0, 0, -1]]}, "triples holds -1"),
        ({"triples": [[0, 0]]}, "has the shape"),
        ({"to_items": [False]}, "to_items does not say"),
        ({"to_items": [0, 1]}, "to_items does not say"),
        ({"entities": "abc"}, "not a list of texts"),
        ({"n_items": 10**12}, "n_items holds"),
    ],
)
def test_arrays_that_are_not_a_graph_are_refused(changes, message):
    content = {"relations": ["by", "sequel"], "to_items": [False, True], "entities": ["x", "y", "z"]}
    content |= {"triples": [[0, 0, 2], [1, 1, 0]], "n_items": 2}

    def arrays(content):
        names = json.dumps({key: content[key] for key in ("relations", "to_items", "entities")})
        triples = np.array(content["triples"])
        return {
            "names": np.frombuffer(names.encode(), np.uint8),
            "triples": triples,
            "n_items": np.array([content["n_items"]]),
        }

    assert Knowledge.from_arrays(arrays(content)).tails(0, 0).tolist() == [2]
    with pytest.raises(ValueError, match=message):
        Knowledge.from_arrays(arrays(content | changes))
