"""TunedSettings: what training chooses on validation cases, to train again without choosing again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from genre_gen.blending.blend import Blend
from genre_gen.collaborative import RatingBlend


@dataclass(frozen=True)
class TunedSettings:
    """What :meth:`genre_gen.Recommender.fit` chose.

    Attributes:
        blend_without_llm: weights that stand in where the language model fails.
        epochs: after how many, those of pre-training aside, the language model was best; None if that was not asked
            or never measured.
        members: hyper-parameters of each collaborative model.
        teacher: weights of the blend that teaches the language model; empty if nothing is distilled.
        temperature: of that blend's softmax.
        ratings: how models of ratings are blended; None if nothing predicts ratings.
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
        """Restore choices."""
        blends = {name: Blend.from_dict(content[name]) for name in ("blend", "blend_without_llm")}
        ratings = None if content["ratings"] is None else RatingBlend.restore(content["ratings"])
        return cls(**{**content, **blends, "ratings": ratings})
