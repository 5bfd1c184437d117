"""The method as its article tells it, step by step in plain PyTorch, and then the same with genre_gen.

Needs: genre_gen, and nothing else (``make demo``, or ``pip install .``). The data are 40 films and 30 invented users
that come with the package; steps 1 to 5 take a few seconds on them. The last step tunes a small language model, which
is fetched once.

    python examples/article.py                  # --help shows the options; --movielens takes MovieLens-100K

Each piece has its name from the article, and says which part of genre_gen does the same for real. docs/article.md has a
table of all pieces, and says what the library does differently and why.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from genre_gen import Dataset, Domain, Ranking, Recommender, Split
from genre_gen.blending.blend import Blend
from genre_gen.metrics import ranks, recall_at, rmse

PAD, BEGIN, END = 0, 1, 2
RATINGS = [3, 4, 5, 6, 7]  # the words "1" to "5"
TASKS = {"recommend": 8, "rate": 9, "describe": 10, "intent": 11, "alike": 12}  # the word that asks for each task
YES, NO, FIRST_WORD = 13, 14, 15
RECENT = 20  # films of a history that the model reads
EPOCHS = {
    False: {"text": 30, "tasks": 15, "hybrid": 20},
    True: {"text": 5, "tasks": 1, "hybrid": 2},
}  # MovieLens or not
TASK_WEIGHTS = {"recommend": 1.0, "rate": 0.5, "describe": 0.2, "intent": 0.2, "alike": 0.2}


# Step 1: data. In genre_gen: data/readers, Dataset, Split.


def write_behaviour(split: Split, file: Path) -> None:
    """Write what users did as one CSV; ``held_out`` marks each user's last film, on which the engine is judged."""
    rows = []
    for part, held_out in ((split.train_and_validation, 0), (split.histories, 1)):
        for history in part.histories():
            events = list(zip(history.rows, np.array(history.ratings), np.array(history.times), strict=True))
            for row, rating, time in events[-1:] if held_out else events:
                genres = "|".join(split.catalog[row].attributes["genre"])
                rows.append((history.user, split.catalog[row].title, genres, rating, time, held_out))
    columns = ["user_id", "title", "genres", "rating", "timestamp", "held_out"]
    pl.DataFrame(rows, columns, orient="row").write_csv(file)


class Behaviour:
    """The CSV as tensors: users, films, ratings and preceding films; and the words to describe them."""

    def __init__(self, file: Path) -> None:
        """Read and clean the table, and number users, films and words."""
        table = pl.read_csv(file).drop_nulls().sort("held_out", "user_id", "timestamp", maintain_order=True)
        films = table.select("title", "genres").unique("title").sort("title")
        self.titles = films["title"].to_list()
        self.genres = [genres.split("|") for genres in films["genres"]]
        texts = [_words(title) + genres for title, genres in zip(self.titles, self.genres, strict=True)]
        number = {word: FIRST_WORD + index for index, word in enumerate(sorted({w for text in texts for w in text}))}
        self.first_film = FIRST_WORD + len(number)  # films are the last words of the vocabulary
        self.vocab_size = self.first_film + len(films)
        self.words = {index: word for word, index in number.items()}
        self.texts = [[number[word] for word in text] for text in texts]
        self.labels = [[number[genre] for genre in genres] for genres in self.genres]
        user_of = {user: index for index, user in enumerate(table["user_id"].unique(maintain_order=True))}
        film_of = {title: index for index, title in enumerate(self.titles)}
        self.num_users, self.num_movies = len(user_of), len(film_of)
        self.user_ids = torch.tensor([user_of[user] for user in table["user_id"]])
        self.movie_ids = torch.tensor([film_of[title] for title in table["title"]])
        self.ratings = torch.tensor(table["rating"].to_list(), dtype=torch.float32)
        self.held_out = torch.tensor(table["held_out"].to_list(), dtype=torch.bool)
        self.seq_ids = self._sequences()

    def _sequences(self) -> Tensor:
        """Return the films that each interaction came after, as words: ``[n, RECENT]``, filled up on the left."""
        met: dict[int, list[int]] = {}
        sequences = []
        for user, film in zip(self.user_ids.tolist(), self.movie_ids.tolist(), strict=True):
            sequences.append(met.setdefault(user, [])[-RECENT:])
            met[user].append(self.first_film + film)
        return padded(sequences, RECENT, left=True)

    def part(self, held_out: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return ``user_ids, movie_ids, ratings, seq_ids`` of what is learned from, or of what is held out."""
        chosen = self.held_out == held_out
        return self.user_ids[chosen], self.movie_ids[chosen], self.ratings[chosen], self.seq_ids[chosen]


def padded(rows: Iterable[Sequence[int]], length: int, left: bool = False) -> Tensor:
    """Return rows of word numbers as one tensor ``[n, length]``, filled up with PAD."""
    filled = [(row, [PAD] * (length - len(row))) for row in ([*row] for row in rows)]
    return torch.tensor([padding + row if left else row + padding for row, padding in filled])


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


# The language model. In genre_gen: llm/model.py, a pre-trained decoder with item codes.


class LLM(nn.Module):
    """An encoder that reads words and a decoder that writes words; films are words too.

    The mean of what was read goes past both, and both add to it, at first nothing: so the model starts by saying what
    is close to what it has read. In genre_gen: llm/near_identity.py.
    """

    def __init__(self, vocab_size: int, embedding_dim: int, hidden_dim: int) -> None:
        """Share one embedding between what is read and what is written."""
        super().__init__()
        self.embedding = nn.Embedding(vocab_size, embedding_dim, padding_idx=PAD)
        self.encoder = nn.GRU(embedding_dim, hidden_dim, batch_first=True)
        self.decoder = nn.GRU(embedding_dim, hidden_dim, batch_first=True)
        self.from_encoder = nn.Linear(hidden_dim, embedding_dim, bias=False)
        self.from_decoder = nn.Linear(hidden_dim, embedding_dim, bias=False)
        self.scale = nn.Parameter(torch.tensor(5.0))
        self.dropout = nn.Dropout(0.2)
        for layer in (self.from_encoder, self.from_decoder):
            nn.init.zeros_(layer.weight)
        with torch.no_grad():
            self.embedding.weight.copy_(F.normalize(self.embedding.weight))

    @torch.no_grad()
    def start_films(self, texts: Sequence[Sequence[int]], first_film: int) -> None:
        """Let each film's word start as the mean of the words about it. In genre_gen: LLM.initialise_codes."""
        for film, text in enumerate(texts):
            mean = self.embedding.weight[list(text)].mean(0)
            self.embedding.weight[first_film + film] = F.normalize(mean, dim=0)

    def forward(self, input_ids: Tensor, target_ids: Tensor) -> Tensor:
        """Return the logits of each target word, given the input and the words before it: ``[B, T, vocab_size]``."""
        words = self.embedding(input_ids)
        _, state = self.encoder(self.dropout(words))
        read = words.sum(1) / (input_ids != PAD).sum(1, keepdim=True).clamp(min=1)
        before = self.embedding(F.pad(target_ids[:, :-1], (1, 0), value=BEGIN))
        states, _ = self.decoder(self.dropout(before), state)
        said = (read + self.from_encoder(self.dropout(state[0])))[:, None] + self.from_decoder(self.dropout(states))
        return self.scale * F.linear(said, self.embedding.weight)

    @torch.no_grad()
    def generate(self, input_ids: Tensor, length: int, allowed: Tensor) -> list[int]:
        """Write at most ``length`` words for one input ``[1, L]``, each the likeliest of those that are allowed.

        In genre_gen: decoding/search.py over a trie of the catalog, which allows only items.
        """
        written: list[int] = []
        for _ in range(length):
            logits = self(input_ids, torch.tensor([[*written, PAD]]))[0, -1]
            word = int(logits.masked_fill(~allowed, -torch.inf).argmax())
            if word == END:
                break
            written.append(word)
        return written


# Step 2: pre-training on unlabelled text. In genre_gen: training.pretraining_epochs; shipped models are pre-trained.


def pretrain(llm: LLM, behaviour: Behaviour, epochs: int) -> list[float]:
    """Learn the catalog's own texts, a film and then the words about it, without any label; return the losses."""
    texts = [[behaviour.first_film + film, *text, END] for film, text in enumerate(behaviour.texts)]
    targets = padded(texts, max(map(len, texts)))
    inputs = torch.full((len(texts), 1), BEGIN)
    return multitask(llm, {"text": (inputs, targets)}, MTLLoss({"text": 1.0}), epochs)


# Step 3: multitask training. In genre_gen: [tasks] of domain.toml, tasks/, llm/task_mixture.py.


class MTLLoss(nn.Module):
    """The sum over tasks of weight x cross-entropy of the wanted text, given the input."""

    def __init__(self, task_weights: Mapping[str, float]) -> None:
        """Keep the weights."""
        super().__init__()
        self.task_weights = dict(task_weights)

    def forward(self, outputs: Mapping[str, tuple[Tensor, Tensor]]) -> Tensor:
        """Return the loss of ``task -> (logits [B, T, vocab_size], target_ids [B, T])``."""
        losses = [
            self.task_weights[task] * F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=PAD)
            for task, (logits, targets) in outputs.items()
        ]
        return torch.stack(losses).sum()


def prompt(seq_ids: Tensor, task: str) -> Tensor:
    """Return an input: the films of a sequence, and then the word that asks for a task. In genre_gen: prompts/."""
    return F.pad(seq_ids, (0, 1), value=TASKS[task])


def examples(behaviour: Behaviour) -> dict[str, tuple[Tensor, Tensor]]:
    """Return each task's labelled examples, ``task -> (input_ids, target_ids)``: everything is text, in and out."""
    _, movie_ids, ratings, seq_ids = behaviour.part(held_out=False)
    words = movie_ids + behaviour.first_film
    films = torch.arange(behaviour.num_movies)[:, None]
    one, other = torch.randint(behaviour.num_movies, (2, len(words)))
    alike = [YES if {*behaviour.labels[a]} & {*behaviour.labels[b]} else NO for a, b in zip(one, other, strict=True)]
    labels = padded((genres[:4] for genres in behaviour.labels), 4)
    return {
        "recommend": (prompt(seq_ids, "recommend"), words[:, None]),
        "rate": (prompt(seq_ids, "rate"), torch.stack([words, ratings.long() + RATINGS[0] - 1], 1)),
        "describe": (prompt(films + behaviour.first_film, "describe"), F.pad(labels, (0, 1), value=END)),
        "intent": (prompt(seq_ids, "intent"), labels[movie_ids][:, :1]),
        "alike": (prompt(torch.stack([one, other], 1) + behaviour.first_film, "alike"), torch.tensor(alike)[:, None]),
    }


def multitask(
    llm: LLM, tasks: Mapping[str, tuple[Tensor, Tensor]], objective: MTLLoss, epochs: int, batch: int = 64
) -> list[float]:
    """Train on a batch of every task at each step; return the mean loss of each epoch."""
    optimizer = torch.optim.AdamW(llm.parameters(), lr=2e-3)
    steps = max(1, max(len(inputs) for inputs, _ in tasks.values()) // batch)
    losses = []
    llm.train()
    for _ in range(epochs):
        total = 0.0
        for _ in range(steps):
            outputs = {}
            for task, (inputs, targets) in tasks.items():
                chosen = torch.randint(len(inputs), (batch,))
                outputs[task] = llm(inputs[chosen], targets[chosen]), targets[chosen]
            total += step(optimizer, objective(outputs))
        losses.append(total / steps)
    return losses


def describe(llm: LLM, behaviour: Behaviour, film: int) -> str:
    """Return the model's description of a film, limited to genres."""
    allowed = torch.zeros(behaviour.vocab_size, dtype=torch.bool)
    allowed[[END, *{genre for genres in behaviour.labels for genre in genres}]] = True
    asked = prompt(torch.tensor([[behaviour.first_film + film]]), "describe")
    return ", ".join(behaviour.words[word] for word in llm.eval().generate(asked, 4, allowed)) or "nothing"


def step(optimizer: torch.optim.Optimizer, loss: Tensor) -> float:
    """Go one step down the gradient; return the loss."""
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


# Step 4: the hybrid. In genre_gen: collaborative/, blending/.


class CollaborativeFiltering(nn.Module):
    """A rating from user and film: mean, biases and factors. In genre_gen: collaborative/svd.py, Surprise's SVD."""

    def __init__(self, num_users: int, num_movies: int, factors: int = 8) -> None:
        """Start in the middle of the scale."""
        super().__init__()
        self.mean = nn.Parameter(torch.tensor(3.0))
        self.biases = nn.ModuleList(nn.Embedding(count, 1) for count in (num_users, num_movies))
        self.factors = nn.ModuleList(nn.Embedding(count, factors) for count in (num_users, num_movies))
        for embedding in (*self.biases, *self.factors):
            nn.init.normal_(embedding.weight, std=0.05)

    def forward(self, user_ids: Tensor, movie_ids: Tensor) -> Tensor:
        """Return ratings ``[B]``."""
        user, film = self.factors[0](user_ids), self.factors[1](movie_ids)
        return self.mean + self.biases[0](user_ids)[:, 0] + self.biases[1](movie_ids)[:, 0] + (user * film).sum(1)


class Biases(CollaborativeFiltering):
    """A rating from mean and biases alone, to put in the place of the former."""

    def forward(self, user_ids: Tensor, movie_ids: Tensor) -> Tensor:
        """Return ratings ``[B]``."""
        return self.mean + self.biases[0](user_ids)[:, 0] + self.biases[1](movie_ids)[:, 0]


class HybridLoss(nn.Module):
    """alpha x cross-entropy of the film that came + (1 - alpha) x squared error of its rating."""

    def __init__(self, alpha: float) -> None:
        """Keep alpha, from 0 to 1."""
        super().__init__()
        self.alpha = alpha

    def forward(self, recommendation: Tensor, movie_ids: Tensor, rating: Tensor, ratings: Tensor) -> Tensor:
        """Return the loss of recommendation logits ``[B, num_movies]`` and ratings ``[B]``."""
        return self.alpha * F.cross_entropy(recommendation, movie_ids) + (1 - self.alpha) * F.mse_loss(rating, ratings)


class RecommendationComponent(nn.Module):
    """Language model and collaborative filter together: what to recommend, and how a film will be rated.

    In genre_gen: Recommender.recommend and Recommender.predict.
    """

    def __init__(self, llm: nn.Module, collaborative: nn.Module, first_film: int, alpha: float) -> None:
        """Join two models that exist already."""
        super().__init__()
        self.llm, self.collaborative, self.first_film, self.alpha = llm, collaborative, first_film, alpha
        self.to_rating = nn.Linear(1, 1)
        nn.init.zeros_(self.to_rating.weight)
        nn.init.constant_(self.to_rating.bias, 3.0)

    def forward(self, user_ids: Tensor, movie_ids: Tensor, seq_ids: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits of all films ``[B, num_movies]``, and ratings of ``movie_ids`` ``[B]``, blended by alpha.

        The language model rates a film by how far it expects it above the others, in standard deviations.
        """
        nothing = torch.full((len(seq_ids), 1), PAD)
        recommendation = self.llm(prompt(seq_ids, "recommend"), nothing)[:, 0, self.first_film :]
        standard = (recommendation - recommendation.mean(1, keepdim=True)) / recommendation.std(1, keepdim=True)
        from_llm = self.to_rating(standard.gather(1, movie_ids[:, None]))[:, 0]
        rating = self.alpha * from_llm + (1 - self.alpha) * self.collaborative(user_ids, movie_ids)
        return recommendation, rating


# Step 5: the engine, assembled for a scene. In genre_gen: domain.toml, registry.py, Recommender.


COLLABORATIVE = {"factors": CollaborativeFiltering, "biases": Biases}


class ConfigurableRecommendationEngine:
    """All parts together; ``llm`` and ``collaborative`` may be any classes that take the same arguments."""

    def __init__(
        self,
        num_users: int,
        num_movies: int,
        vocab_size: int,
        embedding_dim: int,
        hidden_dim: int,
        alpha: float,
        *,
        llm: type[LLM] = LLM,
        collaborative: type[CollaborativeFiltering] = CollaborativeFiltering,
    ) -> None:
        """Build the components of the scene; films are the last ``num_movies`` words of the vocabulary."""
        self.num_movies, self.first_film = num_movies, vocab_size - num_movies
        self.llm = llm(vocab_size, embedding_dim, hidden_dim)
        self.collaborative = collaborative(num_users, num_movies)
        self.component = RecommendationComponent(self.llm, self.collaborative, self.first_film, alpha)
        self.objective = HybridLoss(alpha)
        self.blend = Blend({"llm": alpha, "collaborative": 1 - alpha})
        self.sequences: dict[int, Tensor] = {}

    def train(
        self, user_ids: Tensor, movie_ids: Tensor, ratings: Tensor, seq_ids: Tensor, epochs: int = 15
    ) -> list[float]:
        """Fit both models toward the one objective; return the mean loss of each epoch."""
        data = user_ids, movie_ids, ratings, seq_ids
        for user, film, sequence in zip(user_ids.tolist(), movie_ids, seq_ids, strict=True):
            self.sequences[user] = torch.cat([sequence[1:], film[None] + self.first_film])
        factors = [parameter for parameter in self.collaborative.parameters() if parameter.dim() > 1]
        known = {*self.llm.parameters(), *factors}
        rest = [parameter for parameter in self.component.parameters() if parameter not in known]
        optimizer = torch.optim.AdamW(
            [
                {"params": self.llm.parameters(), "lr": 5e-4, "weight_decay": 0.1},
                {"params": factors, "lr": 2e-3, "weight_decay": 3.0},  # a user has ten ratings: keep factors small
                {"params": rest, "lr": 2e-2, "weight_decay": 0.0},
            ]
        )
        losses = []
        for _ in range(epochs):
            self.component.train()
            batches = torch.randperm(len(user_ids)).split(64)
            total = sum(step(optimizer, self._loss(*(part[batch] for part in data))) for batch in batches)
            losses.append(total / len(batches))
        return losses

    def _loss(self, user_ids: Tensor, movie_ids: Tensor, ratings: Tensor, seq_ids: Tensor) -> Tensor:
        recommendation, rating = self.component(user_ids, movie_ids, seq_ids)
        return self.objective(recommendation, movie_ids, rating, ratings)

    @torch.no_grad()
    def evaluate(
        self, user_ids: Tensor, movie_ids: Tensor, ratings: Tensor, seq_ids: Tensor
    ) -> tuple[float, float, float]:
        """Return the joint loss, the squared error and the recall at 10 of interactions that were held out."""
        self.component.eval()
        recommendation, rating = self.component(user_ids, movie_ids, seq_ids)
        loss = float(self.objective(recommendation, movie_ids, rating, ratings))
        allowed = torch.ones_like(recommendation, dtype=torch.bool)
        for row, sequence in enumerate(seq_ids):
            allowed[row, sequence[sequence != PAD] - self.first_film] = False
        found = ranks(recommendation.numpy(), movie_ids.numpy(), allowed.numpy())
        return loss, rmse(rating.numpy(), ratings.numpy()) ** 2, float(recall_at(found, 10).mean())

    @torch.no_grad()
    def predict(self, user_id: int, movie_id: int) -> tuple[Ranking, float]:
        """Return ten films for a user of the training, and the rating that one film will get."""
        self.component.eval()
        films, sequence = torch.arange(self.num_movies), self.sequences[user_id]
        users, sequences = torch.full_like(films, user_id), sequence.expand(self.num_movies, -1)
        recommendation, rating = self.component(users, films, sequences)
        scores = {"llm": recommendation[:1].numpy(), "collaborative": self.collaborative(users, films)[None].numpy()}
        allowed = np.ones((1, self.num_movies), dtype=bool)
        allowed[0, sequence[sequence != PAD] - self.first_film] = False
        blended = self.blend.combine(scores, allowed).total[0]
        return Ranking.from_scores(blended, 10), float(rating[movie_id])


# Step 6: the same with genre_gen.


def with_genre_gen(data: Dataset, split: Split, llm: str | None, minutes: float, seed: int) -> tuple[float, float]:
    """Train a recommender with the article's two tasks and a hybrid; return squared error and recall at 10."""
    settings = {
        "tasks": {  # MTLLoss(task_weights): the case of the article, recommending and rating by one model
            "next_item": {"weight": 1.0, "depth": "exit"},
            "rating": {"weight": 0.5, "depth": "exit"},
        },
        "blend.members": ["sequential_rules", "ease", "text_knn", "svd"],  # what the language model is blended with
        "ratings.members": ["svd"],  # what predicts ratings next to its task "rating"
    }
    recommender = Recommender(data.domain, max_minutes=minutes, seed=seed, llm=llm, settings=settings).fit(split)
    tuned = recommender.state.tuned
    print("  weights of the ranking, of greatest likelihood:", dict(tuned.blend.weights))
    if tuned.ratings is not None:
        weights = {name: round(weight, 2) for name, weight in tuned.ratings.weights.items()}
        print("  weights of the ratings, of least squared error:", weights)
    predicted = [recommender.predict(case.history, split.catalog[case.target].id).rating for case in split.test]
    report = recommender.evaluate(split, k=10, baselines=False)
    return rmse(predicted, [case.rating for case in split.test]) ** 2, report["GENRE"].figure("R@10")


def main() -> None:
    """Go through the steps."""
    parser = argparse.ArgumentParser(description="The method as its article tells it, step by step.")
    parser.add_argument("--alpha", type=float, default=0.5, help="weight of the recommendation loss, 0 to 1 (0.5)")
    parser.add_argument("--collaborative", choices=COLLABORATIVE, default="factors", help="component of the engine")
    parser.add_argument("--movielens", action="store_true", help="MovieLens-100K, fetched, instead of the sample")
    parser.add_argument("--csv", type=Path, default=Path("behaviour.csv"), help="where the users' behaviour is written")
    parser.add_argument("--llm", help="language model of the last step, instead of the domain's")
    parser.add_argument("--minutes", type=float, default=1.0, help="training time of the last step (1)")
    parser.add_argument("--no-library", action="store_true", help="leave the last step out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    epochs = EPOCHS[options.movielens]

    movies = Domain.load("movies")
    data = Dataset.load(movies, None if options.movielens else movies.catalog_folder)
    split = data.leave_one_out()
    write_behaviour(split, options.csv)
    behaviour = Behaviour(options.csv)
    learned, held_out = behaviour.part(held_out=False), behaviour.part(held_out=True)
    print(f"1. Data, in {options.csv}: {behaviour.num_users} users, {behaviour.num_movies} films,")
    print(f"   {len(learned[0])} ratings to learn from, and {len(held_out[0])} held out")

    engine = ConfigurableRecommendationEngine(
        behaviour.num_users,
        behaviour.num_movies,
        behaviour.vocab_size,
        embedding_dim=32,
        hidden_dim=64,
        alpha=options.alpha,
        collaborative=COLLABORATIVE[options.collaborative],
    )
    engine.llm.start_films(behaviour.texts, behaviour.first_film)
    losses = pretrain(engine.llm, behaviour, epochs["text"])
    print(f"2. Pre-training on the catalog's texts: loss {losses[0]:.2f} -> {losses[-1]:.2f}")

    losses = multitask(engine.llm, examples(behaviour), MTLLoss(TASK_WEIGHTS), epochs["tasks"])
    print(f"3. Multitask training, {len(TASK_WEIGHTS)} tasks: loss {losses[0]:.2f} -> {losses[-1]:.2f}")
    print(f"   Asked to describe {behaviour.titles[0]}, it says: {describe(engine.llm, behaviour, 0)}")

    before = engine.evaluate(*held_out)
    losses = engine.train(*learned, epochs=epochs["hybrid"])
    loss, error, recall = engine.evaluate(*held_out)
    print(f"4. Hybrid, alpha {options.alpha}: loss {losses[0]:.2f} -> {losses[-1]:.2f},")
    print(f"   on what is held out {before[0]:.2f} -> {loss:.2f}")

    user, film = int(held_out[0][0]), int(held_out[1][0])
    ranking, rating = engine.predict(user, film)
    print(f"5. The engine recommends to the first user {', '.join(behaviour.titles[row] for row in ranking.rows[:3])};")
    print(f"   {behaviour.titles[film]} will get {rating:.1f} (it got {held_out[2][0]:.0f})")

    mean = float(((held_out[2] - learned[2].mean()) ** 2).mean())
    table = {"the mean rating": (mean, None), "the engine": (error, recall)}
    if not options.no_library:
        print("6. The same with genre_gen:")
        table["genre_gen"] = with_genre_gen(data, split, options.llm, options.minutes, options.seed)
    print(f"\n{'held out':16}    MSE   R@10")
    for name, (squared, found) in table.items():
        print(f"{name:16} {squared:6.2f} {'' if found is None else f'{found:6.2f}'}")
    print(f"Loss: {loss:.2f}, MSE: {error:.2f}")


if __name__ == "__main__":
    main()
