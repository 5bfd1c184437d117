"""Registries: the components of each kind by name, built in or of an installed package.

A package adds a component by an entry point. For a member of the blend its ``pyproject.toml`` has::

    [project.entry-points."genre_gen.members"]
    my_member = "my_package.models:MyMember"

and ``domain.toml`` chooses it: ``blend.members = ["my_member"]``. A component is imported on first use; listing and
checking names imports nothing. Code that reads settings of unknown origin, such as a saved folder's, passes the
packages that may be imported (``allowed``).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

from pydantic import AfterValidator

from genre_gen.errors import CheckpointError, ConfigError
from genre_gen.settings import suggestion

T = TypeVar("T")
AUTO = "auto"
"""A setting that chooses a component by the data or the installed packages."""


class Registry(Mapping[str, T]):
    """The components of one kind: a mapping from name to component, built-in ones first.

    Args:
        kind: the word for a component in messages.
        group: the group of the entry points, after ``genre_gen.``.
        built_in: name -> import path, ``module:attribute``; if the attribute is a table, its entry of that name.
        needs: required attributes of a component.
        instances: whether components are instances of the imported classes instead of the classes.
        added_need: further required attributes of components of other packages.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        built_in: Mapping[str, str],
        needs: Collection[str] = (),
        *,
        instances: bool = False,
        added_need: Collection[str] = (),
    ) -> None:
        """Store the names without importing anything."""
        self.kind, self.group = kind, f"genre_gen.{group}"
        self._built_in, self._needs, self._instances = dict(built_in), tuple(needs), instances
        self._added_need = tuple(added_need)
        self._loaded: dict[tuple[str, str], T] = {}

    def __iter__(self) -> Iterator[str]:
        """Yield all names."""
        return iter(dict.fromkeys([*self._built_in, *(point.name for point in self._points())]))

    def __len__(self) -> int:
        """Return the number of components."""
        return len(list(iter(self)))

    def __contains__(self, name: object) -> bool:
        """Tell whether there is a component of this name."""
        return name in list(iter(self))

    def __getitem__(self, name: str) -> T:
        """Return a component and import it if needed; raises ConfigError like ``load``."""
        return self.load(name)

    def built_in(self) -> dict[str, T]:
        """Return the components of this package."""
        return {name: self.load(name) for name in self._built_in}

    def added(self, names: Iterable[str], allowed: Collection[str] | None = None) -> dict[str, T]:
        """Return the given components that are of other packages; raises the errors of ``load``."""
        return {name: self.load(name, allowed) for name in names if name not in self._built_in}

    def load(self, name: str, allowed: Collection[str] | None = None) -> T:
        """Return a component and import it if needed.

        Args:
            name: the component's name.
            allowed: other packages whose code may be imported, by their names on the package index; None for all
                installed packages.

        Raises:
            ConfigError: there is no such component, or there are two, or it cannot be imported or lacks an attribute.
            CheckpointError: it belongs to a package that is not allowed.
        """
        self.check(name, allowed)
        path, package = self._built_in.get(name), "genre_gen"
        if path is None:
            (point,) = self._points(name)
            path, package = f"{point.module}:{point.attr}", _package(point)
        if (name, path) not in self._loaded:
            self._loaded[name, path] = self._import(name, path, package)
        return self._loaded[name, path]

    def check(self, name: str, allowed: Collection[str] | None = None) -> None:
        """Raise the errors of ``load`` that need no import."""
        if problem := self.problem(name):
            raise ConfigError(problem)
        if name in self._built_in or allowed is None:
            return
        package = _package(self._points(name)[0])
        if _normalised(package) not in map(_normalised, allowed):
            raise CheckpointError(
                f"the {self.kind} {name!r} is code of the package {package}, which is not run without permission; "
                f"if you trust it, load with plugins=[{package!r}]"
            )

    def problem(self, name: str) -> str | None:
        """Return what is wrong with a name, without importing anything; None if it names one component."""
        packages = [_package(point) for point in self._points(name)]
        if packages and name in self._built_in:
            return (
                f"the package {packages[0]} has a {self.kind} {name!r}, which is a built-in name; "
                f"rename its entry point in {self.group}, or uninstall {packages[0]}"
            )
        if len(packages) > 1:
            return f"the packages {' and '.join(packages)} both have a {self.kind} {name!r}; uninstall one of them"
        if packages or name in self._built_in:
            return None
        return f"no {self.kind} {name!r}{suggestion(name, self)}; there are: {', '.join(self)}"

    def name_check(self, *others: str) -> AfterValidator:
        """Return a pydantic check that a setting names one of these components, or is one of ``others``."""

        def check(name: str) -> str:
            if name not in others and (problem := self.problem(name)):
                raise ValueError(problem + "".join(f", {other}" for other in others))
            return name

        return AfterValidator(check)

    def _points(self, name: str | None = None) -> list[EntryPoint]:
        """Return the entry points of this group, of one name or of all."""
        points = _entry_points(self.group, tuple(sys.path))
        return [point for point in points if name is None or point.name == name]

    def _import(self, name: str, path: str, package: str) -> T:
        what = f"the {self.kind} {name!r} of the package {package}"
        module, _, attribute = path.partition(":")
        try:
            component: Any = import_module(module)
            for part in attribute.split("."):
                component = getattr(component, part)
            if isinstance(component, Mapping):
                component = component[name]
            if self._instances and isinstance(component, type):
                component = component()
        except Exception as error:
            reason = " ".join(str(error).split())
            raise ConfigError(
                f"{what} cannot be imported ({type(error).__name__}: {reason}); fix or uninstall it"
            ) from error
        needs = self._needs if name in self._built_in else self._needs + self._added_need
        missing = [part for part in needs if not hasattr(component, part)]
        missing += sorted(getattr(component, "__abstractmethods__", ()))
        if missing or not (self._instances or callable(component)):
            raise ConfigError(f"{what} lacks {', '.join(missing) or '__call__'}, which every {self.kind} needs; fix it")
        if "name" in self._needs and component.name != name:
            raise ConfigError(f"{what} has the name {component.name!r}; give it the name of its entry point")
        return component  # type: ignore[no-any-return]


@lru_cache(maxsize=32)
def _entry_points(group: str, path: tuple[str, ...]) -> tuple[EntryPoint, ...]:
    """Return the entry points of a group; ``path`` is ``sys.path``, so that its changes invalidate the cache."""
    return tuple(entry_points(group=group))


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value.partition(":")[0]


def _normalised(package: str) -> str:
    """Return a package's name as package indexes compare names (PEP 503)."""
    return re.sub(r"[-_.]+", "-", package).lower()


def _paths(module: str, **attributes: str) -> dict[str, str]:
    return {name: f"genre_gen.{module}.{path}" for name, path in attributes.items()}


_MODEL = ("name", "fit", "score", "arrays", "settings", "from_arrays", "for_data")

MEMBERS: Registry[Any] = Registry(
    "member",
    "members",
    _paths(
        "collaborative",
        popularity="popularity:Popularity",
        sequential_rules="sequential_rules:SequentialRules",
        ease="ease:Ease",
        item_knn="item_knn:ItemKNN",
        text_knn="text_knn:TextKNN",
        svd="svd:SVD",
        sasrec="sasrec:SASRec",
    ),
    _MODEL,
)
"""Collaborative models for the blend (``blend.members``)."""

RATERS: Registry[Any] = Registry(
    "rating model",
    "raters",
    _paths(
        "collaborative",
        svd="svd:SVD",
        svdpp="svdpp:SVDpp",
        knn_baseline="knn_baseline:KNNBaseline",
        bayesian_mf="bayesian_mf:BayesianMF",
    ),
    (*_MODEL, "rate", "predict"),
)
"""Models that predict ratings (``ratings.members``). They are separate from ``MEMBERS``, which evaluations fit as
rankers: models of ratings rank poorly, and SVD represents them there."""

TASKS: Registry[Any] = Registry(
    "task",
    "tasks",
    _paths(
        "tasks",
        next_item="next_item:NextItem",
        rating="rating:Rating",
        fits="users:Fits",
        similar="users:Similar",
        intent="users:Intent",
        title="items:Title",
        description="items:Description",
        code="items:Code",
        explanation="users:Explanation",
        catalog_text="items:CatalogText",
        review="users:Review",
    ),
    ("name", "depth", "examples", "grade"),
    instances=True,
    added_need=("variables", "templates"),
)
"""Tasks of the language model (the keys of ``[tasks]``)."""

READERS: Registry[Any] = Registry(
    "reader",
    "readers",
    _paths(
        "data.readers",
        recbole="recbole:RecBole",
        movielens="movielens:MovieLens",
        mind="mind:Mind",
        tourism="tourism:Tourism",
        open_bandit="open_bandit:OpenBandit",
        amazon="amazon:Amazon",
        table="table:PlainTable",
    ),
    ("name", "suffixes", "separator", "recognises", "items", "interactions"),
    instances=True,
)
"""Data formats (``data.reader``), in the order in which ``auto`` tries the built-in ones."""

CODE_SCHEMES: Registry[Any] = Registry(
    "code scheme",
    "code_schemes",
    _paths("codes", atomic="schemes:atomic_codes", semantic="schemes:semantic_codes", title="schemes:title_codes"),
)
"""Code schemes (``codes.scheme``)."""

ENCODERS: Registry[Any] = Registry(
    "encoder", "encoders", _paths("llm", llm="text_encoders:LLMEncoder", minilm="text_encoders:MiniLMEncoder")
)
"""Encoders of the items' texts, whose vectors initialise codes (``codes.encoder``)."""

TRACKERS: Registry[Any] = Registry(
    "tracker",
    "trackers",
    dict.fromkeys(("tensorboard", "wandb", "mlflow", "none"), "genre_gen.training.trackers:TRACKERS"),
)
"""Trackers of training metrics (``training.tracker``)."""
