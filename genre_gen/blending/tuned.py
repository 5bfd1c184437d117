"""TunedSettings: the settings that training chose on validation cases, for training again without choosing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from genre_gen.blending.blend import Blend
from genre_gen.collaborative import RatingBlend
from genre_gen.settings import validation_problems

_Weights = dict[str, Annotated[float, Field(ge=0, le=1e6)]]


class _Weighted(BaseModel):
    """A saved blend."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    weights: _Weights


class _Saved(BaseModel):
    """Saved choices."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)
    blend: _Weighted
    blend_without_llm: _Weighted
    epochs: Annotated[int, Field(ge=0, le=10**6)] | None
    members: dict[str, dict[str, Any]]
    teacher: _Weights
    temperature: Annotated[float, Field(gt=0, le=1e6)]
    ratings: dict[str, Any] | None


@dataclass(frozen=True)
class TunedSettings:
    """The settings that :meth:`genre_gen.Recommender.fit` chose.

    Attributes:
        blend_without_llm: weights of the blend that is used if the language model fails.
        epochs: number of epochs, without pre-training, after which the language model was best; None if not measured.
        members: hyper-parameters of each collaborative model.
        teacher: weights of the blend that teaches the language model; empty without distillation.
        temperature: temperature of that blend's softmax.
        ratings: the blend of the models of ratings; None without ratings.

    Example:
        >>> tuned = recommender.state.tuned
        >>> sum(tuned.blend.weights.values())
        1.0
        >>> tuned.members["ease"]
        {…}
    """

    blend: Blend
    blend_without_llm: Blend
    epochs: int | None = None
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    teacher: Mapping[str, float] = field(default_factory=dict)
    temperature: float = 1.0
    ratings: RatingBlend | None = None

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
        return cls(**{**content, **blends, "ratings": ratings})
