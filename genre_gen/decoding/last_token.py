"""LastLayer: a decoder's last layer, computed where it is read.

Of a prompt one state is read, that of its last token. In all layers but the last every position counts, since later
ones attend to it. In the last, what follows attention (its output projection and the feed-forward part, five sixths of
the layer) concerns one position at a time and is added to what came in. So these parts are given the wanted positions
alone, and what they make of them, ``[rows, 1, hidden]``, is added to every position: right where it is wanted, and
elsewhere never read. Keys and values are those of a whole pass.

Nothing is known of the decoder's own code: the parts are found by the names that most decoders give them, and tried out
once against a whole pass. A decoder that is built otherwise is read as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn

_PARTS = ("self_attn.o_proj", "mlp")
_LIKE = 0.3  # of what the parts add; rounding to eight bits moves it by some hundredths, a wrong position by all of it

_WANTED: ContextVar[Tensor | None] = ContextVar("wanted", default=None)  # of this thread: others read in full meanwhile


class LastLayer:
    """The last layer of one decoder."""

    def __init__(self, backbone: nn.Module) -> None:
        """Hold the decoder, whose layers may still be replaced."""
        self._backbone: Any = backbone
        self._tried: bool | None = None

    def follow(self, backbone: Any) -> None:
        """Go over to a decoder that is built alike."""
        self._backbone = backbone

    @contextmanager
    def at(self, positions: Tensor) -> Iterator[None]:
        """Compute the layer's parts for one position per row, int64 ``[rows]``, in passes within the block."""

        def cut(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...] | None:
            if _WANTED.get() is not positions or not inputs:
                return None
            rows = torch.arange(len(positions), device=positions.device)
            return inputs[0][rows, positions][:, None], *inputs[1:]

        token, handles = _WANTED.set(positions), [part.register_forward_pre_hook(cut) for part in self._parts()]
        try:
            yield
        finally:
            _WANTED.reset(token)
            for handle in handles:
                handle.remove()

    def cuts(self, read: Callable[[], Tensor]) -> bool:
        """Tell whether :meth:`at` may be used; tried out once.

        Args:
            read: returns the last states ``[1, length, hidden]`` of any prompt of some tokens.
        """
        if self._tried is None:
            whole = read()
            if not bool(torch.isfinite(whole).all()):
                return False  # nothing can be told from it; weights may change
            self._tried = bool(self._parts()) and self._same(read, whole)
        return self._tried

    def _same(self, read: Callable[[], Tensor], whole: Tensor) -> bool:
        """Compare a pass that is cut with a whole one, measured by a pass in which the parts add nothing."""
        last = torch.tensor([whole.shape[1] - 1], device=whole.device)

        def nothing(_: nn.Module, __: Any, added: Any) -> Any:
            return added * 0 if _WANTED.get() is last else None

        try:
            with self.at(last):
                cut = read()[:, -1]
                handles = [part.register_forward_hook(nothing) for part in self._parts()]
                try:
                    without = read()[:, -1]
                finally:
                    for handle in handles:
                        handle.remove()
        except (RuntimeError, IndexError, TypeError, ValueError):
            return False
        return bool((cut - whole[:, -1]).norm() <= _LIKE * (without - whole[:, -1]).norm())

    def _parts(self) -> list[nn.Module]:
        """Return the parts, none where the decoder calls them otherwise."""
        try:
            return [self._backbone.layers[-1].get_submodule(name) for name in _PARTS]
        except AttributeError:
            return []
