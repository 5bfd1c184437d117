"""TunedSettings: the settings that training chose on validation cases, for training again without choosing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genre_gen.blending.blend import Blend
from genre_gen.collaborative import RatingBlend
from genre_gen.settings import validation_problems

Ended: TypeAlias = Literal["complete", "time", "interrupted"]
"""How a training ended."""

_Count = Annotated[int, Field(ge=0, le=10**12)]
_Weights = dict[str, Annotated[float, Field(ge=0, le=1e6)]]


class _Weighted(BaseModel):
    """A saved blend."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    weights: _Weights


class _Steps(BaseModel):
    """The saved steps of a run."""

    model_config = ConfigDict(extra="forbid", strict=True)
    schedule: list[Annotated[list[_Count], Field(min_length=2, max_length=2)]]
    steps: _Count
    soft_target_users: _Count | None


class _Saved(BaseModel):
    """Saved choices."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    blend: _Weighted
    blend_without_llm: _Weighted
    epochs: Annotated[float, Field(ge=0, le=1e6)] | None
    members: dict[str, dict[str, Any]]
    teacher: _Weights
    temperature: Annotated[float, Field(gt=0, le=1e6)]
    ratings: dict[str, Any] | None
    first: _Steps | None
    refit: _Steps | None
    left_out: dict[str, str]
    ended: Ended


@dataclass(frozen=True)
class Steps:
    """How far one run of the language model's training went, by which it can be repeated without a clock.

    Attributes:
        schedule: ``(step, total)``: from that step on, the run was meant to have so many steps in all, which the
            learning rate follows.
        steps: the step whose weights were kept.
        soft_target_users: number of users with soft targets; None for all, or without distillation.

    Example:
        >>> recommender.state.tuned.first.steps
        …
    """

    schedule: tuple[tuple[int, int], ...]
    steps: int
    soft_target_users: int | None = None

    @classmethod
    def from_dict(cls, content: Mapping[str, Any] | None) -> Self | None:
        """Restore steps; None for none."""
        if content is None:
            return None
        return cls(
            tuple((begin, total) for begin, total in content["schedule"]),
            content["steps"],
            content["soft_target_users"],
        )


@dataclass(frozen=True)
class TunedSettings:
    """The settings that :meth:`genre_gen.Recommender.fit` chose.

    Attributes:
        blend_without_llm: weights of the blend that is used if the language model fails.
        epochs: number of epochs, without pre-training, after which the language model was best, rounded up from 1 on;
            None if not measured.
        members: hyper-parameters of each collaborative model.
        teacher: weights of the blend that teaches the language model; empty without distillation.
        temperature: temperature of that blend's softmax.
        ratings: the blend of the models of ratings; None without ratings.
        first: the steps of the language model's training on ``train``.
        refit: those of its refit; None without one.
        left_out: parts of the training that were left out, with the reason: members, ``soft targets``, ``refit``.
        ended: how the training ended: ``complete``, by ``time``, or ``interrupted``.

    Example:
        >>> tuned = recommender.state.tuned
        >>> sum(tuned.blend.weights.values())
        1.0
        >>> tuned.members["ease"]
        {…}
    """

    blend: Blend
    blend_without_llm: Blend
    epochs: float | None = None
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    teacher: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    ratings: RatingBlend | None = None
    first: Steps | None = None
    refit: Steps | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)
    ended: Ended = "complete"

    def to_dict(self) -> dict[str, Any]:
        """Return the choices, ready for JSON."""
        return {
            "blend": self.blend.to_dict(),
            "blend_without_llm": self.blend_without_llm.to_dict(),
            "epochs": self.epochs,
            "members": {name: dict(options) for name, options in self.members.items()},
            "teacher": dict(self.teacher),
            "temperature": self.temperature,
            "ratings": None if self.ratings is None else self.ratings.settings(),
            "first": None if self.first is None else asdict(self.first),
            "refit": None if self.refit is None else asdict(self.refit),
            "left_out": dict(self.left_out),
            "ended": self.ended,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Restore choices; raises ValueError for what ``to_dict`` never returns."""
        try:
            _Saved.model_validate(content)
        except ValidationError as problem:
            raise ValueError(f"tuned.{validation_problems(problem, _Saved)[0]}") from None
        blends = {name: Blend.from_dict(content[name]) for name in ("blend", "blend_without_llm")}
        ratings = None if content["ratings"] is None else RatingBlend.restore(content["ratings"])
        runs = {name: Steps.from_dict(content[name]) for name in ("first", "refit")}
        return cls(**{**content, **blends, **runs, "ratings": ratings})
