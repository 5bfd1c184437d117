"""A domain, a book and a checker in Chinese over the films of the tests of explanations."""

from genre_gen.domain import Domain
from genre_gen.explain.check import Checker
from genre_gen.explain.evidence import Evidence
from genre_gen.explain.wording import vocabulary
from genre_gen.prompting.book import PromptBook
from tests.explain.books import PROMPTS
from tests.explain.test_evidence import CATALOG, DATA
from tests.explain.test_wording import GRAPH, GRAPHED

WORDS = {
    "noun": "电影",
    "fields": {"genre": "类型", "studio": "制片公司"},
    "labels": {"genre": {"Action": "动作", "Sci-Fi": "科幻", "Crime": "犯罪", "Comedy": "喜剧", "Romance": "爱情"}},
    "relations": {"maker": {"singular": "制片人", "plural": "位制片人"}, "sequel": {"singular": "续集"}},
}
CHINESE = GRAPHED.changed({"language": "zh", "languages": {"zh": WORDS}})


def book_of(name: str) -> PromptBook:
    """Return the Chinese templates of a shipped domain, or the generic ones."""
    return PromptBook.load(CHINESE.model_copy(update={"name": name, "prompts_folder": PROMPTS / name}))


def evidence(domain: Domain = CHINESE) -> Evidence:
    """Return the evidence for the films."""
    return Evidence(CATALOG, DATA, domain, GRAPH)


def checker_of(book: PromptBook) -> Checker:
    """Return what checks explanations in the words of a book."""
    return Checker(CATALOG, DATA, CHINESE, vocabulary(book), GRAPH)
