"""The language model of a recommender: one model, read at two depths.

* **exit depth**: the *tower*, the first ``exit_layer`` layers, tuned to predict item codes and short closed answers;
* **full depth**: all layers, untouched but for a small LoRA adapter, for text such as titles and explanations.

The tower is a copy of the layers (``adapter="full"``) or the same layers with a LoRA adapter that is switched off
for text (``adapter="lora"``, which also works over an 8- or 4-bit base). Tuning the shared layers themselves for items
would spoil the text that the upper layers make of them.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F  # noqa: N812 - the field's habit
from torch import Tensor, nn

from genre_gen.errors import ConfigError
from genre_gen.llm.batch import Batch
from genre_gen.tasks.base import Depth

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from genre_gen.codes.base import CodeScheme
    from genre_gen.domain import ModelSettings

log = logging.getLogger(__name__)
ITEMS, TEXT = "item", "text"  # names of the LoRA adapters
_OWN_LOGIT = 8.0
_LAST = ("o_proj", "out_proj", "dense", "c_proj", "down_proj", "fc2")  # of a branch: what it adds comes out of these
_NORMS_AFTER = (  # the branches; in Llama the first name stands for the norm before the feed-forward part
    ("post_attention_layernorm", "post_feedforward_layernorm"),
    ("post_self_attn_layernorm", "post_mlp_layernorm"),
)
_ANSWER_LOGIT = 16.0  # of a state that points where an answer's row does


class LLM(nn.Module):
    """A causal language model that knows the items of one catalog.

    Ids below ``text_vocabulary`` are the tokenizer's own; id ``text_vocabulary + k`` is code token ``k``. Text
    embeddings stay frozen; code embeddings serve both as input and as the restricted output head.

    Attributes:
        base: the pre-trained model, with a LoRA adapter ``text``.
        tower: the layers that items are read from (a backbone without a head).
        code_embedding: ``[code vocabulary, hidden]``.
        answers: task -> its closed answers as text ids, int64 ``[answers, longest]``, filled up with -1; at exit depth
            a task's softmax runs over these only. An answer is a whole value, or one token of those in words.
        answer_heads: task -> a row for each of these answers, ``[answers, hidden]``.
        unmet: bool ``[code vocabulary]``, code tokens of items that no training interaction has. The training softmax
            leaves them out, or each step would push them down, away from the texts that they start from.
        served: what :func:`genre_gen.llm.quantize.quantize` has made of it: ``none``, ``bf16``, ``int8`` or ``nf4``.
    """

    def __init__(
        self, base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, codes: CodeScheme, settings: ModelSettings
    ) -> None:
        """Add code tokens, tower and adapters to a loaded model.

        Raises:
            ConfigError: full fine-tuning of a quantized model, or an exit layer that the model does not have.
        """
        super().__init__()
        if settings.quantization != "none" and settings.adapter == "full":
            raise ConfigError(
                f'model.quantization = "{settings.quantization}" needs model.adapter = "lora": '
                "quantized weights cannot be tuned themselves"
            )
        self.base, self.tokenizer, self.codes, self.settings = base, tokenizer, codes, settings
        for parameter in base.parameters():
            parameter.requires_grad_(False)
        embeddings = base.get_input_embeddings()
        weight: Any = embeddings.weight
        self.text_vocabulary, hidden = weight.shape
        self.code_embedding = nn.Parameter(torch.zeros(codes.vocabulary, hidden))
        self.answers: dict[str, Tensor] = {}
        self.answer_heads = nn.ParameterDict()
        self.cold_tokens = torch.zeros(codes.vocabulary, dtype=torch.bool)
        backbone: Any = base.model
        depth = _exit_layer(backbone, settings.exit_layer)
        self.item_backbone: Any = (
            _own_tower(backbone, depth) if settings.adapter == "full" else _shared_tower(base, depth)
        )
        _add_lora(base, TEXT, len(backbone.layers))
        self.served = "none"
        self._active = ""
        self.use(TEXT)

    def use(self, adapter: str) -> None:
        """Switch the LoRA adapters of the base: ``text`` for full depth, ``tower`` for the exit depth."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        if adapter == ITEMS and self.settings.adapter == "full":
            return  # the tower has weights of its own
        if adapter != self._active:
            for module in self.base.modules():
                if isinstance(module, BaseTunerLayer):
                    module.set_adapter(adapter)
            self._active = adapter

    def initialise_codes(self, vectors: Tensor) -> None:
        """Start each code token from text: the mean embedding of the items whose codes it is part of.

        Args:
            vectors: ``[n_items, hidden]``, from :func:`embed_texts`, or better ones.
        """
        codes = torch.as_tensor(self.codes.codes.copy())
        total = torch.zeros(self.code_embedding.shape)
        count = torch.zeros(len(total), 1)
        for level in codes.unbind(1):
            present = level >= 0
            total.index_add_(0, level[present], vectors[present])
            count.index_add_(0, level[present], torch.ones(int(present.sum()), 1))
        used = count.squeeze(1) > 0
        mean = (total[used] / count[used]).to(self.code_embedding)
        self.code_embedding.data[used] = mean

    @torch.no_grad()
    def add_answer_heads(self, answers: Mapping[str, Tensor]) -> None:
        """Give each task with closed answers a head of its own; a row that is there already stays as it is.

        A row starts as the direction in which its word differs from the task's others: what they have in common says
        nothing about which of them it is. Of several tokens each counts half of the one before, so that 12 is not 21.
        The base's own rows would have to stay as they are, and so hardly anything could be learned from a state of the
        exit layer, which does not point at words.

        Args:
            answers: as in the attribute of that name.
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
        """Quieten a tower of its own, so that training starts from a recommender and not from noise.

        The layers of a language model turn embeddings it has never met into states that say nothing about codes. Here
        what each layer adds to the residual stream is scaled by ``model.near_identity_scale``: near 0 a state is all but the
        embedding of the last item, so that, input and output embeddings being the same, the model ranks that item's
        neighbours; attention then learns from there what else to look at. The final norm is set so that an item's logit
        after itself is ``_OWN_LOGIT`` where the layers add nothing. Whether items come first after themselves is tried
        out, since decoders are built in many ways.
        """
        scale = self.settings.near_identity_scale
        if self.settings.adapter != "full" or scale == 1 or self.codes.codes.shape[1] > 1:
            return  # the layers are shared with the text, or codes are longer than one token
        length, root = float(self.code_embedding.norm(dim=1).mean()), self.code_embedding.shape[1] ** 0.5
        for layer in self.item_backbone.layers:
            _quieten(layer, scale, length / root or 1.0)
        if length > 0:
            norm = self.item_backbone.norm
            norm.weight.fill_(_OWN_LOGIT / (length * root) - _offset(norm))
            if self._first_after_themselves() < 0.5:  # noqa: PLR2004 - half of them
                log.warning(
                    "the layers of %s could not be quietened: most items do not come first after themselves, so "
                    "training starts from what the layers make of them and takes longer",
                    type(self.base).__name__,
                )

    def _first_after_themselves(self) -> float:
        """Return the share of some code tokens that come first after a few words and themselves."""
        some = self.code_embedding.norm(dim=1).nonzero().flatten()[:64]
        # Not alone: what stands first in a sequence is where attention rests, and its state is like no other.
        words = self.tokenizer("These came one after the other:", add_special_tokens=False)["input_ids"]
        text = torch.tensor(words, dtype=torch.int64, device=some.device).expand(len(some), -1)
        ids = torch.cat([text, some[:, None] + self.text_vocabulary], dim=1)
        states = self.item_backbone(inputs_embeds=self.embed_items(ids), use_cache=False).last_hidden_state
        return float((self.code_logits(states[:, -1]).argmax(1) == some).float().mean())

    @property
    def device(self) -> torch.device:
        """Return the device of the code embeddings, which is where inputs go."""
        return self.code_embedding.device

    def trainable(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Iterate over what training changes, by name: code embeddings, heads of answers, tower, adapters."""
        wanted = ("code_", "answer_", "item_backbone." if self.settings.adapter == "full" else "item_backbone.norm")
        seen: set[int] = set()
        for name, parameter in self.named_parameters():
            chosen = name.startswith(wanted) or ".lora_" in name
            if chosen and "embed_tokens" not in name and id(parameter) not in seen:
                seen.add(id(parameter))
                yield name, parameter

    def embed(self, ids: Tensor) -> Tensor:
        """Return what the base reads: input embeddings ``[..., hidden]`` of text and code ids (int64, any shape)."""
        return self._embed(ids, self.base.model.norm.weight.dtype)

    def embed_items(self, ids: Tensor) -> Tensor:
        """Return what the tower reads: the same embeddings in the precision of the tower's layers."""
        return self._embed(ids, _precision(self.item_backbone))

    def _embed(self, ids: Tensor, dtype: torch.dtype) -> Tensor:
        is_code = ids >= self.text_vocabulary
        text = self.base.get_input_embeddings()(ids.masked_fill(is_code, 0)).to(dtype)
        code = F.embedding((ids - self.text_vocabulary).clamp(min=0), self.code_embedding).to(dtype)
        return torch.where(is_code.unsqueeze(-1), code, text)

    @property
    def context(self) -> int | None:
        """Return how many tokens the model was made to read at once; None where it does not say."""
        return getattr(self.item_backbone.config, "max_position_embeddings", None)

    @property
    def packs(self) -> bool:
        """Tell whether the tower reads rows of several examples: where every layer attends to all that it may see."""
        config = self.item_backbone.config
        kinds = set(getattr(config, "layer_types", None) or {"full_attention"})
        windowed = getattr(config, "sliding_window", None) and not getattr(config, "layer_types", None)
        return kinds == {"full_attention"} and not windowed and config._attn_implementation == "sdpa"

    def hidden(self, batch: Batch) -> Tensor:
        """Return final hidden states ``[rows, length, hidden]`` at the batch's depth.

        Padding needs no attention mask: attention is causal and nothing reads the padded positions.
        """
        self.use(ITEMS if batch.depth == "exit" else TEXT)
        backbone = self.item_backbone if batch.depth == "exit" else self.base.model
        embeddings = (self.embed_items if batch.depth == "exit" else self.embed)(batch.ids)
        options = {"attention_mask": batch.visible(), "position_ids": batch.positions()}
        return backbone(inputs_embeds=embeddings, use_cache=False, **options).last_hidden_state

    def code_logits(self, hidden: Tensor) -> Tensor:
        """Return logits over the code vocabulary only, ``[..., code vocabulary]``."""
        return F.linear(hidden.to(self.code_embedding.dtype), self.code_embedding)

    def text_logits(self, hidden: Tensor) -> Tensor:
        """Return logits over the text vocabulary."""
        head: Any = self.base.get_output_embeddings()
        return head(hidden.to(head.weight.dtype))

    def answer_logits(self, hidden: Tensor, task: str) -> Tensor:
        """Return logits over a task's closed answers, ``[..., len(answers[task])]``, of exit-depth states.

        A state's direction counts and not its length, which is made for the codes and differs from adapter to adapter.
        """
        return F.linear(F.normalize(hidden.float(), dim=-1), self.answer_heads[task]) * _ANSWER_LOGIT

    def forward(self, batch: Batch, exclude_seen: bool) -> Tensor:
        """Return the mean cross-entropy of one task's batch.

        Args:
            batch: its labels equal its ids where a token is to be predicted (from those before it), -100 elsewhere; in
                tasks with closed answers they are the numbers of these.
                Where it holds what a teacher expects, the target of an item is part label, part teacher.
            exclude_seen: leave items that occur earlier in the example out of the softmax, as serving does when items
                do not repeat (one-token codes only).
        """
        row, column = (batch.target_ids != -100).nonzero(as_tuple=True)  # noqa: PLR2004 - torch's ignore index
        target = batch.target_ids[row, column]
        states = self.hidden(batch)[row, batch.before()[row, column]]
        is_code = target >= self.text_vocabulary
        losses = []
        if is_code.any():
            logits = self.code_logits(states[is_code])
            local = target[is_code] - self.text_vocabulary
            excluded = self.cold_tokens.to(logits.device).expand(logits.shape)
            if exclude_seen:
                excluded = excluded | self._seen(batch, row[is_code], column[is_code])
            logits = logits.masked_fill(excluded.scatter(1, local[:, None], False), float("-inf"))
            if batch.soft_codes is None or batch.soft_shares is None:
                losses.append(F.cross_entropy(logits.float(), local, reduction="sum"))
            else:
                taught = batch.soft_codes[is_code], batch.soft_shares[is_code]
                losses.append(_soft_cross_entropy(logits.float(), local, *taught))
        if not is_code.all():
            losses.append(self._text_loss(states[~is_code], target[~is_code], batch.task, batch.depth))
        return torch.stack(losses).sum() / max(len(target), 1)

    def _seen(self, batch: Batch, row: Tensor, column: Tensor) -> Tensor:
        """Tell which code tokens stand before each target in its example: bool ``[targets, code vocabulary]``."""
        examples, length = batch.examples(), batch.ids.shape[1]
        columns = torch.arange(length, device=batch.ids.device).expand_as(batch.ids)
        local = batch.ids - self.text_vocabulary
        local = torch.where(local >= 0, local, self.codes.vocabulary)  # text goes to a spare column
        size = self.codes.vocabulary + 1
        first = torch.full((int(examples.max() + 1) * size,), length, device=batch.ids.device)
        first.scatter_reduce_(0, (examples * size + local).flatten(), columns.flatten(), "amin")
        return first.view(-1, size)[examples[row, column], :-1] < column[:, None]

    def _text_loss(self, states: Tensor, target: Tensor, task: str, depth: Depth) -> Tensor:
        if depth != "exit" or task not in self.answers:
            return F.cross_entropy(self.text_logits(states).float(), target, reduction="sum")
        return F.cross_entropy(self.answer_logits(states, task).float(), target, reduction="sum")


def _tokens(answer: Tensor) -> tuple[int, ...]:
    """Return the text ids of an answer, without what fills it up."""
    return tuple(answer[answer >= 0].tolist())


def _soft_cross_entropy(logits: Tensor, target: Tensor, codes: Tensor, shares: Tensor) -> Tensor:
    """Return the summed cross-entropy where ``shares [n, top]`` of a target are given to ``codes [n, top]``.

    The target has the rest, and the shares of what is left out of the softmax too.
    """
    known = F.log_softmax(logits, dim=-1)
    taught = known.gather(1, codes)
    excluded = taught.isneginf()
    shares = shares.masked_fill(excluded, 0.0)
    own = (1 - shares.sum(1)) * known.gather(1, target[:, None]).squeeze(1)
    return -(own.sum() + (shares * taught.masked_fill(excluded, 0.0)).sum())


@torch.no_grad()
def embed_texts(base: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Tensor:
    """Return vectors of texts in the space of the model's input embeddings, made to tell the texts apart.

    Each is the mean of its tokens' embeddings, weighed by how few texts have the token (idf). What all texts have in
    common is taken out, and the spectrum is flattened to its square root, so that the few directions in which most
    tokens differ (Mu and Viswanath 2018, https://arxiv.org/abs/1702.01417) do not drown what a text is about.

    Args:
        base: gives the embeddings.
        tokenizer: cuts the texts; special tokens in them are plain text.
        texts: one per item; an empty one becomes the zero vector.

    Returns:
        float32 ``[len(texts), hidden]`` in the CPU's memory, as long on average as plain means of embeddings.
    """
    weight: Any = base.get_input_embeddings().weight
    ids = tokenizer(list(texts), add_special_tokens=False, split_special_tokens=True)["input_ids"]
    tokens = [torch.tensor(sorted(set(row)), dtype=torch.int64) for row in ids]
    count = torch.bincount(torch.cat(tokens), minlength=len(weight)).float()
    rarity = torch.log((1 + len(texts)) / (1 + count)) + 1
    vectors, length = torch.zeros(len(texts), weight.shape[1]), 0.0
    for row, own in enumerate(tokens):
        if len(own):
            embedded = weight[own.to(weight.device)].float().cpu()
            vectors[row] = (rarity[own] @ embedded) / rarity[own].norm()
            length += float(embedded.mean(0).norm()) / len(texts)
    known = torch.tensor([len(own) > 0 for own in tokens])
    return _flattened(vectors, known, length)


def _flattened(vectors: Tensor, known: Tensor, length: float) -> Tensor:
    """Centre vectors, flatten their spectrum to its square root, and give them a mean length."""
    if known.sum() < 2:  # noqa: PLR2004 - one vector is its own centre
        return vectors * 0
    centred = (vectors - vectors[known].mean(0)) * known[:, None]
    values, directions = torch.linalg.eigh(centred.T @ centred)
    kept = values > values.max() * 1e-6
    flat = (centred @ directions[:, kept]) * values[kept] ** -0.25 @ directions[:, kept].T
    norms = flat.norm(dim=1)
    return flat * (length / norms[known].mean().clamp(min=1e-12))


def _exit_layer(backbone: Any, exit_layer: int | None) -> int:
    if not hasattr(backbone, "layers") or not hasattr(backbone, "norm"):
        raise ConfigError(
            f"{type(backbone).__name__} is not a decoder with layers and a final norm; choose another llm"
        )
    layers = len(backbone.layers)
    if exit_layer is not None and exit_layer > layers:
        raise ConfigError(f"model.exit_layer = {exit_layer}, but the model has {layers} layers")
    return exit_layer or layers


def _shell(backbone: Any, depth: int) -> Any:
    """Return a second backbone over the first ``depth`` layers of the same modules, without text embeddings."""
    shell = copy.copy(backbone)
    shell._modules = dict(backbone._modules)
    shell._modules.pop("embed_tokens", None)  # it is fed embeddings
    shell.config = copy.deepcopy(backbone.config)
    shell.config.num_hidden_layers = depth
    if getattr(shell.config, "layer_types", None):
        shell.config.layer_types = shell.config.layer_types[:depth]
    shell.layers = nn.ModuleList(list(backbone.layers)[:depth])
    shell.norm = copy.deepcopy(backbone.norm)
    return shell


def _quieten(layer: Any, scale: float, size: float) -> None:
    """Scale what a layer adds to the residual stream, in place.

    Where a norm follows a branch (Gemma 2 and 3, OLMo 2, GLM 4), that norm decides how much is added, whatever comes
    in; its gain is scaled then, to no more than ``scale`` of what states are.

    Args:
        layer: of any decoder; what it is made of is told by the usual names.
        scale: what is left.
        size: root mean square of the states that it reads at first.
    """
    for names in _NORMS_AFTER:
        if all(hasattr(layer, name) for name in names):
            for norm in (getattr(layer, name) for name in names):
                gain = norm.weight + _offset(norm)
                excess = max(1.0, float(gain.abs().mean()) / size)
                norm.weight.copy_(gain * (scale / excess) - _offset(norm))
            return
    for branch in (layer.self_attn, layer.mlp):
        linear = [(path.rsplit(".", 1)[-1], module) for path, module in branch.named_modules() if _is_linear(module)]
        last: list[Any] = [module for name, module in linear if name in _LAST] or [one for _, one in linear[-1:]]
        for module in last:
            module.weight.mul_(scale)
            if module.bias is not None:
                module.bias.mul_(scale)


def _offset(norm: Any) -> float:
    """Return 1 for a norm whose gain is one more than its weight (Gemma), else 0."""
    weight = norm.weight.detach().clone()
    norm.weight.fill_(0)
    some = torch.linspace(-1, 1, len(weight), device=weight.device, dtype=weight.dtype)
    passes = bool((norm(some) - norm(-some)).any())  # the difference leaves a bias out
    norm.weight.copy_(weight)
    return float(passes)


def _own_tower(backbone: Any, depth: int) -> Any:
    """Return a copy of the first layers, all of it trainable, hence in single precision whatever the base is in."""
    tower = _shell(backbone, depth)
    tower.layers = copy.deepcopy(tower.layers).float()
    tower.norm.float()
    for parameter in tower.parameters():
        parameter.requires_grad_(True)
    return tower


def _shared_tower(base: PreTrainedModel, depth: int) -> Any:
    """Return the base's own first layers with a LoRA adapter for items, and a trainable norm in single precision."""
    _add_lora(base, ITEMS, depth)
    tower = _shell(base.model, depth)
    tower.norm.float()
    for parameter in tower.norm.parameters():
        parameter.requires_grad_(True)
    return tower


def _add_lora(base: PreTrainedModel, name: str, layers: int) -> None:
    from peft import LoraConfig, inject_adapter_in_model

    # Items are far from the model's pre-training and need rank; the text adapter only learns formats and item codes.
    rank = 32 if name == ITEMS else 8
    linear = {path.rsplit(".", 1)[-1] for path, module in base.model.layers.named_modules() if _is_linear(module)}
    config = LoraConfig(
        r=rank, lora_alpha=2 * rank, target_modules=sorted(linear), layers_to_transform=list(range(layers)), bias="none"
    )
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Already found a `peft_config`")  # two adapters are meant
        inject_adapter_in_model(config, base, adapter_name=name)
    for path, parameter in base.named_parameters():
        if f".{name}." in path and ".lora_" in path:
            parameter.data = parameter.data.float()  # steps of training are too small for bfloat16


def _precision(tower: Any) -> torch.dtype:
    """Return what a tower's layers compute in: the precision of their norms, which are never rounded to few bits."""
    return next((one.dtype for path, one in tower.layers[0].named_parameters() if "norm" in path), torch.float32)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear)  # the 8- and 4-bit layers of bitsandbytes are too
