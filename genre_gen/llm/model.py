"""The language model of a recommender: one model with two depths.

* **exit depth**: the *item backbone*, the first ``exit_layer`` layers, tuned to predict item codes and short closed
  answers;
* **full depth**: all layers, unchanged except for a small LoRA adapter, for text such as titles and explanations.

Both have modules of their own: tuning the shared layers for items would harm the text of the upper ones.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the usual name
from torch import Tensor, nn

from genre_gen.collaborative.negatives import Negatives
from genre_gen.decoding.onednn import shallow_copy
from genre_gen.errors import ConfigError
from genre_gen.llm.batch import Batch
from genre_gen.llm.encode import NO_TARGET
from genre_gen.llm.factors import ROWS_UP_TO, best_projection
from genre_gen.llm.item_backbone import (
    TEXT,
    adapted_backbone,
    adapter_shapes,
    add_adapter,
    copied_backbone,
    exit_depth,
    layers_of,
    precision,
)
from genre_gen.llm.load import load_tokenizer
from genre_gen.llm.near_identity import scale_branches
from genre_gen.llm.pretrained import Pretrained
from genre_gen.llm.softmax import code_targets, full_loss, sampled_loss

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from genre_gen.codes.base import Codes
    from genre_gen.domain import ModelSettings
    from genre_gen.llm.tokenizer import LightTokenizer

log = logging.getLogger(__name__)
_ANSWER_LOGIT = 16.0  # logit of an answer for a state with the same direction


class LLM(nn.Module):
    """A causal language model extended by the items of one catalog.

    Ids below ``text_vocabulary`` are the tokenizer's own; id ``text_vocabulary + k`` is code token ``k``. Text
    embeddings stay frozen; code embeddings serve both as input and as the restricted output head.

    Attributes:
        pretrained: the pre-trained model where it is not loaded before something needs all of its layers; else None.
        full_depth: the number of its layers.
        item_backbone: the layers whose states items are predicted from.
        code_embedding: ``[code vocabulary, hidden]``; ``[code vocabulary, factors]`` if it is factored.
        code_projection: ``[factors, hidden]``, the other factor of the embeddings; None if they are not factored.
        row_gradients: whether gradients of ``code_embedding`` are sparse, with the rows that a step has read.
        answers: task -> its closed answers as text ids, int64 ``[answers, longest]``, padded with -1; at exit depth the
            softmax of a task runs over these only. An answer is a whole value, or one token of a text answer.
        answer_heads: task -> the weights for each of these answers, ``[answers, hidden]``.
        cold_tokens: bool ``[code vocabulary]``, tokens without a training interaction. The training softmax leaves them
            out; otherwise each step would push them away from the texts that they start from.
        late_codes: ``[late tokens, columns]``, the embeddings of code tokens of items that came after training, behind
            those of ``code_embedding``; None without any, see :meth:`with_codes`.
        served: the precision set by :func:`genre_gen.llm.quantize.quantize`: ``none``, ``bf16``, ``int8`` or ``nf4``.
        text_precision: the precision to which text embeddings are rounded.
        round_base: rounds the pre-trained model to the precision that is served, when it is loaded; None if nothing is.
        full_weights: fingerprint of the weights before that; None in full precision.
    """

    def __init__(
        self,
        base: PreTrainedModel | Pretrained,
        tokenizer: PreTrainedTokenizerBase | LightTokenizer,
        codes: Codes,
        settings: ModelSettings,
        factors: int = 0,
    ) -> None:
        """Add code tokens, item backbone and adapters to a model.

        One that is not loaded has weights of the item backbone and the text adapter after :meth:`take` alone.

        ``factors`` is the number of columns of factored code embeddings; 0 or more than the hidden units: not factored.

        Raises:
            ConfigError: full fine-tuning of a quantized model, or an exit layer beyond the model's layers.
        """
        super().__init__()
        if settings.quantization != "none" and settings.adapter == "full":
            raise ConfigError(
                f'model.quantization = "{settings.quantization}" needs model.adapter = "lora": '
                "quantized weights cannot be tuned themselves"
            )
        self.tokenizer, self.codes, self.settings = tokenizer, codes, settings
        self.pretrained = base if isinstance(base, Pretrained) else None
        self._home: torch.device = base.device
        self._text_adapter: dict[str, nn.Parameter] = {}  # of a pre-trained model that is not loaded yet
        self.item_backbone: Any
        if isinstance(base, Pretrained):
            self.full_depth, self.text_precision = base.layers, base.precision
            self.item_backbone = base.item_backbone(exit_depth(self.full_depth, settings.exit_layer))
            shapes = adapter_shapes(self.item_backbone.layers[0], self.full_depth, TEXT)
            self._text_adapter = {f"base.{name}": _no_weights(shape) for name, shape in shapes.items()}
            self.text_vocabulary, self._hidden = base.embeddings.shape
        else:
            self._modules["base"] = base
            for parameter in base.parameters():
                parameter.requires_grad_(False)
            self.full_depth = layers_of(base.model)
            make = copied_backbone if settings.adapter == "full" else adapted_backbone
            self.item_backbone = make(base, exit_depth(self.full_depth, settings.exit_layer))
            add_adapter(base, TEXT)
            weight: Any = base.get_input_embeddings().weight
            self.text_precision, (self.text_vocabulary, self._hidden) = weight.dtype, weight.shape
        factors = 0 if factors >= self._hidden else factors
        self.code_embedding = nn.Parameter(torch.zeros(codes.vocabulary, factors or self._hidden))
        self.code_projection = nn.Parameter(torch.eye(factors, self._hidden)) if factors else None
        self.row_gradients = False
        self.answers: dict[str, Tensor] = {}
        self.answer_heads = nn.ParameterDict()
        self.cold_tokens = torch.zeros(codes.vocabulary, dtype=torch.bool)
        self.late_codes: Tensor | None = None
        self._quick_columns: list[tuple[tuple[int, int], Tensor]] = []  # shared with models that have later codes
        self.served = "none"
        self.round_base: Callable[[PreTrainedModel], None] | None = None
        self.full_weights: str | None = None

    def with_codes(self, codes: Codes, late: Tensor) -> LLM:
        """Return the model for a catalog with more items, for inference: it shares all weights and the loaded base.

        ``codes`` are those of the larger catalog, whose first tokens are the present ones; ``late`` are the embeddings
        of the others, ``[late tokens, columns of code_embedding]``.
        """
        other = shallow_copy(self)
        other.__dict__["_origin"] = (self.origin,)  # in a tuple, so that it does not become a submodule
        other.codes, other.late_codes = codes, late.to(self.code_embedding)
        return other  # type: ignore[no-any-return]

    @property
    def origin(self) -> LLM:
        """Return the model as it was trained: itself, or what :meth:`with_codes` was asked of."""
        return self.__dict__.get("_origin", (self,))[0]  # type: ignore[no-any-return]

    @property
    def is_loaded(self) -> bool:
        """Tell whether the pre-trained model is in memory."""
        return "base" in self.origin._modules

    @property
    def base(self) -> PreTrainedModel:
        """Return the pre-trained model, with a LoRA adapter ``text``; load it if needed, once for all threads."""
        if self.origin is not self:
            return self.origin.base
        if not self.is_loaded and self.pretrained is not None:
            with self.pretrained.lock:
                if not self.is_loaded:
                    modules = {"base": self._loaded(self.pretrained), **self._modules}
                    self.__dict__["_modules"] = modules  # as a whole: other threads may be walking through it
        return self._modules["base"]  # type: ignore[return-value]

    def _loaded(self, pretrained: Pretrained) -> PreTrainedModel:
        """Load the pre-trained model, and give it what was trained of it."""
        # A text may be asked for in inference mode, whose tensors lack what weights need; adapters are random at first.
        with torch.inference_mode(False), torch.random.fork_rng(devices=()):
            base = pretrained.load()
            for parameter in base.parameters():
                parameter.requires_grad_(False)
            add_adapter(base, TEXT)
        parameters = dict(base.named_parameters())
        for name, value in self._text_adapter.items():
            parameters[name.removeprefix("base.")].data = value.data
        if self.round_base is not None:
            self.round_base(base)
        return base.train(self.training)

    def take(self, weights: Mapping[str, Tensor]) -> None:
        """Make tensors the trainable weights, without copying them; names and shapes are those of ``trainable``."""
        for name, value in weights.items():
            parameter = nn.Parameter(value.to(self._home))
            if name in self._text_adapter:
                self._text_adapter[name] = parameter
            else:
                path, _, own = name.rpartition(".")
                self.get_submodule(path)._parameters[own] = parameter
        self.to(self._home)

    def expect_answers(self, answers: Mapping[str, Tensor]) -> None:
        """Give each task with closed answers a head whose weights are still to come; see :meth:`take`."""
        self.answers = {task: ids.to(self._home) for task, ids in answers.items()}
        self.answer_heads = nn.ParameterDict(
            {task: _no_weights((len(ids), self._hidden)) for task, ids in answers.items()}
        )

    def initialise_codes(self, vectors: Tensor) -> None:
        """Initialise each code token by the mean of ``vectors [n_items, hidden]`` of the items with that token."""
        used, means = self._token_means(vectors)
        if self.code_projection is not None:
            projection = best_projection(means, len(self.code_projection))
            self.code_projection.data.copy_(projection)
            means = means @ projection.T
        self.code_embedding.data[used] = means.to(self.code_embedding)

    def _token_means(self, vectors: Tensor) -> tuple[Tensor | slice, Tensor]:
        """Return which code tokens items have, and the mean of their items' vectors."""
        codes = torch.as_tensor(self.codes.codes.copy())
        if codes.shape == (self.codes.vocabulary, 1) and bool((codes[:, 0] == torch.arange(len(codes))).all()):
            return slice(None), vectors
        total = torch.zeros(self.codes.vocabulary, vectors.shape[1])
        count = torch.zeros(len(total), 1)
        for level in codes.unbind(1):
            present = level >= 0
            total.index_add_(0, level[present], vectors[present])
            count.index_add_(0, level[present], torch.ones(int(present.sum()), 1))
        used = count.squeeze(1) > 0
        return used, total[used] / count[used]

    @torch.no_grad()
    def add_answer_heads(self, answers: Mapping[str, Tensor]) -> None:
        """Give each task with closed answers a head of its own; existing rows are kept.

        A row starts as the difference of its answer's text embedding from the mean of the task's answers, since their
        common part does not distinguish them. Each token has half the weight of the one before, so that 12 differs from
        21. The base's own rows cannot be tuned, and a state of the exit layer does not point at words.
        """
        words: Any = self.base.get_output_embeddings().weight
        heads = {}
        for task, ids in answers.items():
            shares = (ids >= 0) * 0.5 ** torch.arange(ids.shape[1], device=ids.device)
            rows = (shares / shares.sum(1, keepdim=True)).unsqueeze(1).bmm(words[ids.clamp(min=0)].float()).squeeze(1)
            rows = F.normalize(rows - rows.mean(dim=0), dim=-1)
            if task in self.answers:
                known = dict(zip(map(_tokens, self.answers[task]), self.answer_heads[task], strict=True))
                for place, answer in enumerate(ids):
                    rows[place] = known.get(_tokens(answer), rows[place])
            heads[task] = nn.Parameter(rows)
        self.answers, self.answer_heads = dict(answers), nn.ParameterDict(heads)

    @torch.no_grad()
    def near_identity_init(self) -> None:
        """Initialise the item backbone as a recommender of similar items, see :mod:`genre_gen.llm.near_identity`.

        It needs ``adapter="full"`` and codes of one token. Warns if most items do not come first after themselves.
        """
        scale = self.settings.near_identity_scale
        if self.settings.adapter != "full" or scale == 1 or self.codes.codes.shape[1] > 1:
            return
        scale_branches(
            self.item_backbone, scale, float(self.code_embedding.norm(dim=1).mean())
        )  # factors are rotations
        if self.code_embedding.any() and self._first_after_themselves() < 0.5:  # noqa: PLR2004 - half of them
            log.warning(
                "the layers of %s could not be initialised near the identity: most items do not come first after "
                "themselves, so training starts from the unchanged layers and takes longer",
                type(self.base).__name__,
            )

    def _first_after_themselves(self) -> float:
        """Return the share of sampled code tokens that the model ranks first after a few words and the token itself."""
        tokens = self.code_embedding.norm(dim=1).nonzero().flatten()[:64]
        # Not on its own: the first token of a sequence is an attention sink, and its state is untypical.
        words = self.tokenizer("These came one after the other:", add_special_tokens=False).input_ids
        text = torch.tensor(words, dtype=torch.int64, device=tokens.device).expand(len(tokens), -1)
        ids = torch.cat([text, tokens[:, None] + self.text_vocabulary], dim=1)
        states = self.item_backbone(inputs_embeds=self.embed_items(ids), use_cache=False).last_hidden_state
        return float((self.code_logits(states[:, -1]).argmax(1) == tokens).float().mean())

    def transformers_tokenizer(self) -> PreTrainedTokenizerBase:
        """Return a tokenizer of transformers, a copy that may be changed."""
        if self.pretrained is not None:
            return load_tokenizer(self.pretrained.folder)
        return copy.deepcopy(self.tokenizer)  # type: ignore[return-value]

    @property
    def device(self) -> torch.device:
        """Return the device of the code embeddings, which is that of inputs."""
        return self.code_embedding.device

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield the trainable parameters by name: code embeddings, answer heads, item backbone, adapters."""
        if not self.is_loaded:
            yield from self._text_adapter.items()
        wanted = ("code_", "answer_", "item_backbone." if self.settings.adapter == "full" else "item_backbone.norm")
        seen: set[int] = set()
        for name, parameter in self.named_parameters():
            chosen = name.startswith(wanted) or ".lora_" in name
            if chosen and "embed_tokens" not in name and id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def embeddings(self) -> list[Tensor]:
        """Return the weights of the input embeddings of text and code tokens."""
        weight: Any = self.base.get_input_embeddings().weight if self.pretrained is None else self.pretrained.embeddings
        others = [self.code_projection, self.late_codes]
        return [weight, self.code_embedding, *(part for part in others if part is not None)]

    def embed_items(self, ids: Tensor) -> Tensor:
        """Return input embeddings of the item backbone: those of ``embed`` in the precision of its layers."""
        return self.embed(ids, precision(self.item_backbone))

    def embed(self, ids: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """Return input embeddings ``[..., hidden]`` of text and code ids (int64, any shape), by default the base's."""
        dtype = dtype or self.base.model.norm.weight.dtype
        is_code = ids >= self.text_vocabulary
        embed = self.base.get_input_embeddings() if self.pretrained is None else self.pretrained.embed
        text = embed(ids.masked_fill(is_code, 0)).to(self.text_precision).to(dtype)
        if self.row_gradients:
            return text.index_put((is_code,), self.code_vectors(ids[is_code] - self.text_vocabulary).to(dtype))
        code = self.code_vectors((ids - self.text_vocabulary).clamp(min=0)).to(dtype)
        return torch.where(is_code.unsqueeze(-1), code, text)

    def code_vectors(self, tokens: Tensor) -> Tensor:
        """Return the embeddings ``[..., hidden]`` of code tokens (int64, any shape)."""
        rows = self._code_rows(tokens)
        return rows if self.code_projection is None else rows @ self.code_projection

    @torch.no_grad()
    def code_cosines(self, token: int) -> Tensor:
        """Return the cosines between the embedding of a code token and all of them, ``[code vocabulary]``."""
        rows = self.code_embedding if self.late_codes is None else torch.cat([self.code_embedding, self.late_codes])
        weighted = rows if self.code_projection is None else rows @ (self.code_projection @ self.code_projection.T)
        lengths = torch.linalg.vecdot(weighted, rows).clamp(min=0).sqrt().clamp(min=1e-12)
        return weighted @ rows[token] / (lengths * lengths[token])

    def _code_rows(self, tokens: Tensor) -> Tensor:
        if self.late_codes is None:
            return F.embedding(tokens, self.code_embedding, sparse=self.row_gradients)
        late = tokens >= len(self.code_embedding)
        rows = F.embedding(tokens.masked_fill(late, 0), self.code_embedding)
        rows[late] = self.late_codes[tokens[late] - len(self.code_embedding)]
        return rows

    def _code_queries(self, hidden: Tensor) -> Tensor:
        """Return what is multiplied with the rows of the code embedding to give logits."""
        hidden = hidden.to(self.code_embedding.dtype)
        return hidden if self.code_projection is None else F.linear(hidden, self.code_projection)

    @property
    def context(self) -> int | None:
        """Return the model's context length in tokens; None if unknown."""
        return getattr(self.item_backbone.config, "max_position_embeddings", None)

    @property
    def packs(self) -> bool:
        """Tell whether packed rows are possible: if no layer has a sliding window."""
        config = self.item_backbone.config
        kinds = set(getattr(config, "layer_types", None) or {"full_attention"})
        windowed = getattr(config, "sliding_window", None) and not getattr(config, "layer_types", None)
        return kinds == {"full_attention"} and not windowed and config._attn_implementation == "sdpa"

    def hidden(self, batch: Batch) -> Tensor:
        """Return final hidden states ``[rows, length, hidden]`` at the batch's depth.

        Padding needs no attention mask: attention is causal and nothing reads the padded positions.
        """
        backbone = self.item_backbone if batch.depth == "exit" else self.base.model
        embeddings = (self.embed_items if batch.depth == "exit" else self.embed)(batch.ids)
        options = {"attention_mask": batch.visible(), "position_ids": batch.positions()}
        return backbone(inputs_embeds=embeddings, use_cache=False, **options).last_hidden_state

    def code_logits(self, hidden: Tensor) -> Tensor:
        """Return logits over the code vocabulary only, ``[..., code vocabulary]``."""
        queries = self._code_queries(hidden)
        return self._with_late(queries, F.linear(queries, self.code_embedding))

    def _with_late(self, queries: Tensor, logits: Tensor) -> Tensor:
        """Return logits of the trained code tokens with those of late ones behind them."""
        return logits if self.late_codes is None else torch.cat([logits, F.linear(queries, self.late_codes)], dim=-1)

    def quick_code_logits(self) -> Callable[[Tensor], Tensor]:
        """Return :meth:`code_logits` with the present weights, for inference.

        On a CPU, large vocabularies are read from a copy with the code tokens in columns. For a single state that takes
        a third of the time: a product with a row for each token adds up within each row, and waits for memory.
        """
        if self.device.type != "cpu" or len(self.code_embedding) <= ROWS_UP_TO:
            return self.code_logits
        weight, kept = self.code_embedding.detach(), self._quick_columns
        present = weight.data_ptr(), 0 if weight.is_inference() else weight._version
        if not kept or kept[0][0] != present:
            kept[:] = [(present, weight.T.contiguous())]
        columns = kept[0][1]

        def quick(hidden: Tensor) -> Tensor:
            queries = self._code_queries(hidden)
            return self._with_late(queries, queries @ columns)

        return quick

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Return logits over the text vocabulary."""
        head: Any = self.base.get_output_embeddings()
        return head(hidden.to(head.weight.dtype))

    def answer_logits(self, hidden: Tensor, task: str) -> Tensor:
        """Return logits over a task's closed answers, ``[..., len(answers[task])]``, of exit-depth states.

        States are normalised, since their length is tuned for the codes and differs between adapters.
        """
        return F.linear(F.normalize(hidden.float(), dim=-1), self.answer_heads[task]) * _ANSWER_LOGIT

    def forward(self, batch: Batch, exclude_seen: bool, negatives: Negatives | None = None) -> Tensor:
        """Return the mean cross-entropy of one task's batch, mixed with its soft targets if it has any.

        With ``exclude_seen``, items that occur earlier in the example are left out of the softmax, as in serving
        without repeated items (one-token codes only). With ``negatives``, the softmax over the code vocabulary is
        estimated from them.
        """
        row, column = (batch.target_ids != NO_TARGET).nonzero(as_tuple=True)
        target = batch.target_ids[row, column]
        states = self.hidden(batch)[row, batch.before()[row, column]]
        is_code = target >= self.text_vocabulary
        losses = []
        if is_code.any():
            targets = code_targets(batch, self.text_vocabulary, exclude_seen)
            if negatives is None:
                losses.append(full_loss(self.code_logits(states[is_code]), targets, self.cold_tokens))
            else:
                queries = self._code_queries(states[is_code])
                losses.append(sampled_loss(queries, self._code_rows, targets, negatives, self.cold_tokens))
        if not is_code.all():
            closed = batch.depth == "exit" and batch.task in self.answers
            text = states[~is_code]
            logits = self.answer_logits(text, batch.task) if closed else self.text_logits(text)
            losses.append(F.cross_entropy(logits.float(), target[~is_code], reduction="sum"))
        return torch.stack(losses).sum() / max(len(target), 1)


def _no_weights(shape: Sequence[int]) -> nn.Parameter:
    """Return a parameter of a shape whose weights are still to come."""
    return nn.Parameter(torch.empty(tuple(shape), device="meta"))


def _tokens(answer: Tensor) -> tuple[int, ...]:
    """Return the text ids of an answer, without padding."""
    return tuple(answer[answer >= 0].tolist())
