"""Recommender: the public interface, one method per question."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack, overload

from genre_gen.domain import Domain
from genre_gen.errors import UsageError
from genre_gen.recommender import answering, explaining, hub, loading, persistence, predicting, requests
from genre_gen.recommender.keywords import domain_with
from genre_gen.recommender.predicting import Fit, Prediction
from genre_gen.recommender.requests import Answers, Moment, Recommendations, Request, RequestOptions, Who
from genre_gen.recommender.state import NotPickled

if TYPE_CHECKING:
    from huggingface_hub import CommitInfo

    from genre_gen.blending.tuned import TunedSettings
    from genre_gen.data.history import History
    from genre_gen.data.splits import Part, Split
    from genre_gen.evaluation.report import Report
    from genre_gen.explain.attribution import Attribution
    from genre_gen.explain.comparison import Comparison, Counterfactual
    from genre_gen.explain.explainer import Explanation
    from genre_gen.explain.profile import Profile
    from genre_gen.recommender.predicting import Intent
    from genre_gen.recommender.state import RecommenderState
    from genre_gen.rules.settings import Rules
    from genre_gen.training.progress import ProgressOption

RECENT = 10
"""How many of a history's most recent items are left out one by one, to measure what a pick owes to each."""


class Recommender(NotPickled):
    """Generates items of one catalog for users known or new.

    In every method, ``who`` comes first, then the item. ``who`` is a user id of the data, or a history: titles or ids,
    oldest first, each alone, with a rating, or with a rating and a time; or a data frame of ``item_id`` (or ``title``),
    ``rating`` and ``timestamp``. Items are named by title or id.

    Example:
        >>> data = Dataset.load("movies")
        >>> split = data.leave_one_out()
        >>> recommender = Recommender(data.domain, max_minutes=5, seed=0).fit(split, progress=True)
        >>> picks = recommender.recommend(["Toy Story (1995)", ("Alien (1979)", 4)], n=5, where="year >= 1980")
    """

    def __init__(
        self,
        domain: str | Path | Domain,
        *,
        max_minutes: float | None = None,
        seed: int | None = None,
        llm: str | None = None,
        quantization: str | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Set up an untrained recommender; ``from_pretrained`` loads a trained one.

        Args:
            domain: a domain, its name or its folder.
            max_minutes: time budget of ``fit`` by the clock, instead of the domain's.
            seed: of all random numbers, instead of the domain's.
            llm: a model's name, folder or id on the hub, instead of the domain's.
            quantization: of the pre-trained model in training: ``none``, or ``int8`` or ``nf4`` for LoRA adapters.
            settings: any other setting by its key in ``domain.toml``, such as ``{"training.epochs": 3}``.

        Raises:
            ConfigError: an invalid domain or setting.
        """
        self._domain = domain_with(domain, max_minutes, seed, llm, quantization, settings or {})
        self._state: RecommenderState | None = None

    @classmethod
    def from_state(cls, state: RecommenderState) -> Self:
        """Return the recommender of a state that training or loading returned.

        Example:
            >>> Recommender.from_state(recommender.state).recommend("17") == recommender.recommend("17")
            True
        """
        recommender = cls(state.domain)
        recommender._state = state
        return recommender

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        quantization: str | None = None,
        *,
        plugins: Collection[str] = (),
        revision: str | None = None,
        token: str | bool | None = None,
        allow_model: str | None = None,
    ) -> Self:
        """Load a trained recommender from a folder, or from the hub by id.

        Args:
            name: the folder; or an id on the hub, such as ``owner/name``, if there is no local folder of that owner.
            quantization: precision of the language model: ``none``, ``bf16``, ``int8`` or ``nf4``, instead of the saved
                domain's ``serving.quantization``; for models trained in full precision.
            plugins: installed packages whose components (members, tasks, ...) the folder may use. A folder alone never
                runs code of another package.
            revision: branch, tag or commit of a repository on the hub; None for ``main``.
            token: of the hub, for a private repository; None takes the one that is set for this machine.
            allow_model: a pre-trained model of another owner that may be downloaded. Not needed for built-in models,
                those in the cache, and those of the recommender's publisher.

        Raises:
            ConfigError: no such quantization, or a model that was trained quantized.
            CheckpointError: a folder that is incomplete, damaged or invalid, uses a package that is not in ``plugins``,
                or names a pre-trained model that is not allowed.
            SourceError: neither a folder nor the id of a repository on the hub.

        Example:
            >>> recommender.save_pretrained("runs/movies")
            >>> Recommender.from_pretrained("runs/movies", quantization="int8").recommend("17", n=1)[0].rank
            1
        """
        return cls.from_state(
            loading.load(name, quantization, plugins, revision=revision, token=token, allow_model=allow_model)
        )

    def save_pretrained(
        self, folder: str | Path, metrics: Report | Mapping[str, Any] | None = None, *, histories: bool = True
    ) -> None:
        """Save all parts except the pre-trained model: safetensors, JSON, templates and a card, a manifest last.

        Args:
            folder: to write.
            metrics: the report of ``evaluate``, or figures by name, for the card; None keeps earlier ones.
            histories: False leaves out everything about single users, as for ``push_to_hub``.

        Raises:
            CheckpointError: the folder cannot be written, or another file would be replaced.

        Example:
            >>> recommender.save_pretrained("runs/movies")
            >>> Recommender.from_pretrained("runs/movies").recommend("17") == recommender.recommend("17")
            True
        """
        persistence.save(self.state, folder, metrics, histories=histories)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        histories: bool = False,
        metrics: Report | Mapping[str, Any] | None = None,
        token: str | bool | None = None,
        revision: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Upload recommender",
        commit_description: str | None = None,
        base_model: str | None = None,
    ) -> CommitInfo:
        """Push the recommender and its card to the model hub; ``from_pretrained(repo_id)`` loads it from there.

        Args:
            repo_id: ``owner/name``; created if necessary. Files of an earlier push are replaced.
            private: of a new repository; None takes the owner's default.
            histories: push the histories of users too; all who can read the repository can read them.
            metrics: as in ``save_pretrained``.
            token: of the hub, with the right to write; None takes the one that is set for this machine.
            revision: branch to push to, created if necessary; None for ``main``.
            create_pr: open a pull request instead.
            commit_message: first line of the commit.
            commit_description: the rest of it.
            base_model: hub id of the pre-trained model, if it was trained from a local folder.

        Returns:
            The commit; ``commit_url`` is its address.

        Raises:
            UsageError: an invalid id, a public repository where ``private`` was asked for, or a pre-trained model that
                is not on the hub.
            OutputError: no token, or one without the right, or the hub cannot be reached.

        Example:
            >>> recommender.push_to_hub("owner/movies", private=True).commit_url
        """
        where = private, histories, metrics, base_model, token, revision, create_pr
        return hub.push(self.state, repo_id, *where, commit_message, commit_description)

    def __copy__(self) -> Self:
        """Return another recommender with the same, immutable state."""
        copied = type(self)(self.domain)
        copied._state = self._state
        return copied

    @property
    def domain(self) -> Domain:
        """Return the settings.

        Example:
            >>> recommender.domain.name
            'movies'
        """
        return self._domain if self._state is None else self._state.domain

    @property
    def state(self) -> RecommenderState:
        """Return the trained parts; raises UsageError before training.

        Example:
            >>> recommender.state.blend.weights
            mappingproxy({'llm': …})
        """
        if self._state is None:
            raise UsageError("this recommender is not trained; call fit, or load one with Recommender.from_pretrained")
        return self._state

    def fit(
        self,
        split: Split,
        *,
        folder: str | Path | None = None,
        progress: ProgressOption = False,
        tuned: TunedSettings | None = None,
        exactly: bool = False,
    ) -> Self:
        """Train the collaborative models and the language model, and choose the weights of the blend.

        Models are trained on ``split.train``, and settings are chosen on ``split.validation``. Then
        (``training.refit``) all models are trained on ``split.train_and_validation``. ``max_minutes`` bounds all of it.

        Args:
            split: of a data set, such as ``Dataset.load("movies").leave_one_out()``.
            folder: for checkpoints and logs; a run that was killed or interrupted resumes from there.
            progress: True shows a bar with the stage and the time left; a function is called with each
                :class:`genre_gen.training.progress.Progress`.
            tuned: ``state.tuned`` of an earlier training, for newer data or another seed: nothing is held out or tuned.
            exactly: do what ``tuned`` records step by step; the same data and settings give the same weights.

        Returns:
            The recommender itself.

        Raises:
            UsageError: no validation cases, or ``tuned`` settings for other models.
            ConfigError, DataError: an invalid setting, or data on which a model cannot be trained.

        Example:
            >>> newer = Recommender(data.domain).fit(data.hold_out_last(), tuned=recommender.state.tuned)
            >>> len(newer.state.trained_on) == len(data.interactions)
            True
        """
        from genre_gen.recommender.finished import finished
        from genre_gen.training.recommender_training import RecommenderTraining

        training = RecommenderTraining(self.domain, folder=folder, progress=progress)
        self._state = (None if tuned else finished(training, split)) or training.fit(split, tuned, exactly=exactly)
        return self

    def load_knowledge(self, domain: str | Path | Domain) -> None:
        """Load a domain's ``[knowledge]`` triples for explanations; ``fit`` does so with its own domain.

        No training is needed. The wording of explanations is updated too, if the domain's other templates are those of
        the training.

        Raises:
            DataError: files that cannot be read.
            PromptError: invalid templates.

        Example:
            >>> recommender.load_knowledge("movies")
            >>> recommender.state.knowledge is not None
            True
        """
        self._state = persistence.with_knowledge(self.state, domain)

    def speak(self, language: str, domain: str | Path | Domain | None = None) -> None:
        """Use another language for explanations, profiles, pages and requests; the model's prompts stay the same.

        Args:
            language: two letters, such as ``zh``.
            domain: the domain with the templates and words; by default ``./prompts``, the saved or the built-in ones.

        Raises:
            ConfigError: there is no such language.
            PromptError: there are no templates in that language.

        Example:
            >>> recommender.speak("zh")
            >>> print(recommender.recommend("17", n=1, query="九十年代的喜剧", explain=True).parsed_query)
            只要 1990 <= year < 2000；偏好：类型 喜剧
        """
        self._state = persistence.with_language(self.state, language, domain)

    def evaluate(
        self,
        split: Split,
        k: int | Sequence[int] = 10,
        *,
        part: Part = "test",
        baselines: bool = True,
        progress: ProgressOption = False,
    ) -> Report:
        """Rank every case's target among the catalog, next to classic models on the same cases.

        Rules of the domain are ignored; use ``evaluate_picks`` to evaluate lists that follow rules.

        Args:
            split: the split that was used in training.
            k: cut-off of the metrics, or several.
            part: ``test``, or ``validation`` to tune on.
            baselines: also fit and rank with the classic models that are not in the blend.
            progress: as in ``fit``.

        Raises:
            UsageError: the recommender was trained on held-out interactions of the split.

        Example:
            >>> report = recommender.evaluate(split, k=[5, 10])
            >>> 0 <= report["GENRE"].figure("R@5") <= report["GENRE"].figure("R@10") <= 1
            True
        """
        from genre_gen.evaluation.baselines import evaluate

        return evaluate(self.state, split, k, part, baselines=baselines, progress=progress)

    @overload
    def recommend(
        self, who: Who = None, n: int = 10, *, users: None = None, **options: Unpack[RequestOptions]
    ) -> Recommendations: ...
    @overload
    def recommend(
        self, who: None = None, n: int = 10, *, users: Iterable[Who], **options: Unpack[RequestOptions]
    ) -> Answers: ...
    def recommend(
        self,
        who: Who = None,
        n: int = 10,
        *,
        users: Iterable[Who] | None = None,
        query: str | None = None,
        where: str | None = None,
        exclude: Sequence[str] = (),
        include: Sequence[str] | None = None,
        at: Moment | None = None,
        explain: bool = False,
        rules: Rules | None = None,
    ) -> Recommendations | Answers:
        """Recommend items to a known user, to a history, or to many.

        Args:
            who: a user id of the data, or a history; None, or a user without history, gets recommendations for an
                unknown user, with a note.
            n: how many; fewer only if fewer are allowed, and ``notes`` gives the reason.
            users: many user ids or histories instead of ``who``; the answer is then an iterator with ``to_frame``.
            query: a request in free text, see :mod:`genre_gen.query`.
            where: filter on attributes, see :mod:`genre_gen.data.filter_expression`.
            exclude: titles or ids to leave out.
            include: the only titles or ids that may appear; None for all.
            at: the moment of the request; interactions after it are not seen.
            explain: add an explanation to each pick.
            rules: boosts, pins and quotas, instead of the domain's ``[rules]``; ``Rules()`` for none.

        Returns:
            The picks, best first; with ``users``, pairs of a user and the picks, in their order.

        Raises:
            UsageError: n below 1, an empty or too long query, or an argument of another kind.
            UnknownItemError, FilterError: an item, field or value that the data lacks.

        Example:
            >>> picks = recommender.recommend("17", n=3, where="genre == 'Comedy' and year >= 1980", explain=True)
            >>> [pick.rank for pick in picks]
            [1, 2, 3]
            >>> for user, picks in recommender.recommend(users=["17", "4"], n=1):
            ...     print(user, picks[0].item.title)
            17 …
            4 …
        """
        options: dict[str, Any] = {
            "n": n, "query": query, "where": where, "exclude": exclude, "include": include, "at": at,
            "explain": explain, "rules": rules,
        }  # fmt: skip
        if users is None:
            return next(answering.answer_many(self.state, [Request(who, **options)]))
        return answering.answer_users(self.state, who, users, options)

    def answer_many(self, requests: Iterable[Request]) -> list[Recommendations]:
        """Answer requests in one batch, each with its own n, filters, query, moment, rules and explanations.

        Raises:
            UsageError, UnknownItemError, FilterError: as in ``recommend``, for the first request that is invalid.

        Example:
            >>> requests = [Request("17", n=2, query="funny"), Request(["Alien (1979)"], exclude=["Aliens (1986)"])]
            >>> [len(picks) for picks in recommender.answer_many(requests)]
            [2, 10]
        """
        return list(answering.answer_many(self.state, requests))

    def predict(self, who: Who, item: str, *, at: Moment | None = None) -> Prediction:
        """Predict a rating on the data's scale, by the models of ``[ratings]`` and the language model's rating task.

        Raises:
            UsageError: no model predicts ratings, for instance because the data has none.
            UnknownItemError: no such item.

        Example:
            >>> recommender.predict("17", "Alien (1979)").rating
            …
        """
        return predicting.predict(self.state, self._history(who, at), self.state.catalog.find(item))

    def similar(self, item: str, n: int = 10) -> Recommendations:
        """Return the items closest to one, by interactions and texts: the mean over the members that do so.

        Scores are from 0 to 1; 1 means the closest by all members. ``notes`` tells why there are fewer than ``n``.

        Raises:
            UsageError: n below 1.
            UnknownItemError: no such item.

        Example:
            >>> len(recommender.similar("Alien (1979)", n=3))
            3
        """
        return predicting.similar(self.state, self.state.catalog.find(item), n)

    def profile(self, who: Who, *, at: Moment | None = None) -> Profile:
        """Summarise a user's taste from the history: labels with shares and lift, ratings, usual ranges.

        Example:
            >>> profile = recommender.profile("17")
            >>> profile.interactions, profile.labels["genre"][0].value
            (9, '…')
        """
        return self.state.profiler.profile(self._history(who, at))

    def fits(self, who: Who, item: str, *, at: Moment | None = None) -> Fit:
        """Return the probability that an item fits a user, by the language model's task ``fits``.

        Raises:
            UsageError: the task was not learned.
            UnknownItemError: no such item.

        Example:
            >>> 0 <= recommender.fits("17", "Alien (1979)").probability <= 1
            True
        """
        return predicting.fits(self.state, self._history(who, at), self.state.catalog.find(item))

    def intent(self, who: Who, *, at: Moment | None = None) -> Intent:
        """Predict the kind of item that a user wants next, by the language model's task ``intent``.

        Raises:
            UsageError: the task was not learned.

        Example:
            >>> intent = recommender.intent("17")
            >>> intent.field, len(intent.labels)
            ('genre', …)
        """
        return predicting.intent(self.state, self._history(who, at))

    def explain(self, who: Who, item: str, *, at: Moment | None = None) -> Explanation:
        """Explain why an item would be recommended; ``notes`` reports if it would not be, or if a rule pins it.

        This method and those below use the models' scores and the ranks by score, without rules.

        Raises:
            UsageError: an empty history, or an item about which there are no facts.
            UnknownUserError, UnknownItemError: a user or item that the data lacks.

        Example:
            >>> print(recommender.explain("17", "Alien (1979)"))
            …
        """
        return explaining.explain(self.state, self._known(who, at), self.state.catalog.find(item))

    def attribute(self, who: Who, item: str, *, limit: int | None = RECENT, at: Moment | None = None) -> Attribution:
        """Measure the contribution of each item of a user's history to an item's score, by leaving items out.

        The ``limit`` most recent items are left out one by one; None takes all that are read.

        Raises:
            UsageError: ``limit`` below 1, or an empty history.
            DecodingError: the language model's scores are not finite.

        Example:
            >>> effect = recommender.attribute("17", "Alien (1979)", limit=3).items[0]
            >>> effect.item.title, effect.blend  # in standard deviations of the score
            ('…', …)
        """
        return explaining.attribute(self.state, self._known(who, at), self.state.catalog.find(item), limit)

    def compare(
        self, who: Who, item: str, other: str, *, limit: int | None = RECENT, at: Moment | None = None
    ) -> Comparison:
        """Explain why one item is recommended and not another: by member of the blend, and by item of the history.

        The arguments and errors are those of ``attribute``; an item compared with itself raises UsageError.

        Example:
            >>> print(recommender.compare("17", "Alien (1979)", "Aliens (1986)").text)
            …
        """
        find = self.state.catalog.find
        return explaining.compare(self.state, self._known(who, at), find(item), find(other), limit)

    def what_if(
        self, who: Who, item: str, *, n: int | None = None, limit: int | None = RECENT, at: Moment | None = None
    ) -> Counterfactual:
        """Find at most three items of a user's history without which an item is no longer among the first ``n``.

        They are found one by one, each time the one with the largest effect, so a smaller set may exist. Without ``n``,
        the item has to lose its present rank; the other arguments are those of ``attribute``.

        Raises:
            UsageError: the item is not among the first ``n``, or all of the history, and as in ``attribute``.

        Example:
            >>> pick = recommender.recommend("17", n=1)[0]
            >>> print(recommender.what_if("17", pick.item.title, n=5).text)
            …
        """
        return explaining.what_if(self.state, self._known(who, at), self.state.catalog.find(item), n, limit)

    def _history(self, who: Who, at: Moment | None) -> History:
        return requests.history_of(who, *requests.data_of(self.state, at))[0]

    def _known(self, who: Who, at: Moment | None) -> History:
        return requests.known_history(who, *requests.data_of(self.state, at))
