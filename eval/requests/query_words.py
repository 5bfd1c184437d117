"""Can the language model give the meaning of words in requests, instead of ``[query.words]`` of domain.toml?

    python -m eval.requests.query_words movies

Each declared word that means labels of the catalog (scary: Horror) is given to the pre-trained model, which must answer
with a label of the catalog. There are three ways: similarity of input embeddings, the probability of each label as the
answer, and the ratio of that probability to the one after a neutral word. The measure is how often a right label comes
first, compared with the most common label and chance.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eval.bench.results import record, table
from eval.bench.script import new_parser, script
from genre_gen.data.catalog import Catalog
from genre_gen.data.labels import Labels
from genre_gen.data.readers import load_catalog
from genre_gen.domain import Domain
from genre_gen.downloads.models import ensure_model
from genre_gen.errors import UsageError
from genre_gen.llm.load import load_base

NEUTRAL = "nice"  # a word without a label


def pairs(domain: Domain, labels: Labels) -> dict[str, set[str]]:
    """Return the domain's words that mean labels, except for those that are spellings of one."""
    spelt = {name.casefold() for name in labels.names}
    labels_of = {
        word: {label for label in meanings if label in labels.names} for word, meanings in domain.query.words.items()
    }
    return {word: right for word, right in labels_of.items() if right and word.casefold() not in spelt}


class Model:
    """The pre-trained model, asked about words."""

    def __init__(self, domain: Domain, labels: Labels) -> None:
        """Load it."""
        base, self.tokenizer = load_base(ensure_model(domain.model.llm))
        self.base: Any = base
        self.labels = labels
        self.question = f"A word for a kind of {domain.name}, and the {labels.field} that it means.\nword: "
        self.answer = f"\n{labels.field}: "
        self.probabilities = cache(self._probabilities)  # two ways need them
        self.prior = self.probabilities(NEUTRAL)

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text in which control tokens are plain text."""
        tokens: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        return tokens

    def likeness(self, word: str) -> NDArray[np.float64]:
        """Return the cosine of the word's mean embedding to each label's."""
        table = self.base.get_input_embeddings().weight
        vectors = torch.stack([table[self.ids(" " + text)].mean(0) for text in (word, *self.labels.names)]).float()
        vectors = torch.nn.functional.normalize(vectors - table.mean(0), dim=1)
        return (vectors[1:] @ vectors[0]).double().cpu().numpy()

    def _probabilities(self, word: str) -> NDArray[np.float64]:
        """Return the log-probability of each label as the answer."""
        prompt = self.ids(self.question) + self.ids(word) + self.ids(self.answer)
        answers = [self.ids(name + "\n") for name in self.labels.names]
        longest = max(map(len, answers))
        tokens = torch.tensor(
            [prompt + answer + [0] * (longest - len(answer)) for answer in answers], device=self.base.device
        )
        logits = self.base(tokens).logits[:, len(prompt) - 1 : -1].float().log_softmax(-1)
        each = logits.gather(2, tokens[:, len(prompt) :, None])[:, :, 0]
        counted = torch.tensor(
            [[position < len(answer) for position in range(longest)] for answer in answers], device=each.device
        )
        return (each * counted).sum(1).double().cpu().numpy()

    def raised(self, word: str) -> NDArray[np.float64]:
        """Return the increase of each label's log-probability by the word."""
        return self.probabilities(word) - self.prior


@torch.inference_mode()
def measured(domain: Domain, catalog: Catalog) -> dict[str, Any]:
    """Ask for every word in every way."""
    labels = Labels.of_domain(catalog, domain)
    gold = {} if labels is None else pairs(domain, labels)
    if labels is None or not gold:
        raise UsageError(f"{domain.name} declares no words for labels; there is nothing to compare with")
    model = Model(domain, labels)
    common = int(np.argmax(labels.matrix.sum(axis=0)))
    ways: dict[str, Callable[[str], NDArray[np.float64]]] = {
        "likeness of embeddings": model.likeness,
        "probability of the answer": model.probabilities,
        "how much the word raises it": model.raised,
        f"always {labels.names[common]}": lambda _: np.eye(len(labels.names))[common],
    }
    rows = [_row(name, way, gold, labels.names) for name, way in ways.items()]
    chance = float(np.mean([len(right) / len(labels.names) for right in gold.values()]))
    result = {"domain": domain.name, "model": domain.model.llm, "words": len(gold), "labels": len(labels.names)}
    return {**result, "chance": round(chance, 4), "rows": rows}


def _row(
    name: str, way: Callable[[str], NDArray[np.float64]], gold: Mapping[str, set[str]], names: Sequence[str]
) -> dict[str, Any]:
    said = {word: names[int(np.argmax(way(word)))] for word in gold}
    right = {word: said[word] in gold[word] for word in gold}
    return {"way": name, "right": sum(right.values()), "said": said}


def markdown(result: Mapping[str, Any]) -> str:
    """Return the table."""
    words = result["words"]
    rows = [(row["way"], row["right"], words) for row in result["rows"]]
    rows.append(("chance", f"{words * result['chance']:.1f}", words))
    about = f"{result['domain']}, {result['model']}: {words} words for {result['labels']} labels"
    return f"{about}\n\n{table(('way', 'right', 'of'), rows)}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = new_parser(__doc__)
    parser.add_argument("domain", help="name or folder of a domain with [query.words]")
    with script(parser, arguments) as options:
        domain = Domain.load(options.domain)
        result = measured(domain, load_catalog(domain)[0])
        text = markdown(result)
        record(options.out, "query_words", Path(options.domain).name, result, text)
        print(text)


if __name__ == "__main__":
    main()
