from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tiny_training import book_of, tiny_llm
from tiny_training import tiny_tuner as make

from genre_gen.collaborative import Ease, SequentialRules
from genre_gen.data.interactions import Interactions
from genre_gen.data.splits import leave_one_out
from genre_gen.errors import CheckpointError, ConfigError
from genre_gen.llm.batch import Batch
from genre_gen.llm.encode import NO_TARGET
from genre_gen.llm.load import load_base
from genre_gen.llm.model import LLM
from genre_gen.llm.softmax import soft_cross_entropy
from genre_gen.tasks import TaskData
from genre_gen.training import llm_training
from genre_gen.training.distillation import SoftTargets
from genre_gen.training.finetune import FineTuner
from genre_gen.training.llm_training import RunOptions, TrainingResult, build_llm, choose_teacher, refit_llm


class Killed(Exception):
    """Stands for a kill signal: raised between two steps."""


def weights(tuner):
    return {name: value.detach().clone() for name, value in tuner.llm.trainable()}


def kill(tuner, at):
    """Run a tuner, and kill it after a step and before its checkpoint."""

    def on_step(tuner):
        if tuner.progress.step == at:
            raise Killed

    with pytest.raises(Killed):
        tuner.run(on_step)


def alike(one, other):
    """Tell whether what two tuners have trained is the same."""
    found = weights(other)
    return all(torch.equal(value, found[name]) for name, value in weights(one).items())


def check_learned(log, task="next_item", to=1.0):
    """Check that the loss of a task falls to a share of what it was."""
    losses = [entry["losses"][task] for entry in log]
    assert losses[-1] < to * losses[0]


@pytest.fixture(scope="module")
def whole(tiny_domain, sample):
    """Return a tuner that has run undisturbed."""
    tuner = make(tiny_domain, sample)
    tuner.run()
    return tuner


@pytest.mark.parametrize("at", [1, 7])
def test_killed_and_resumed_gives_the_same_weights(tiny_domain, sample, tmp_path, whole, at):
    kill(make(tiny_domain, sample, tmp_path), at)  # the step is done again
    second = make(tiny_domain, sample, tmp_path)
    second.run()
    assert second.progress.step == whole.progress.step > at
    assert [entry["losses"] for entry in second.progress.log] == [entry["losses"] for entry in whole.progress.log]
    assert alike(whole, second)
    steps = []
    make(tiny_domain, sample, tmp_path).run(lambda tuner: steps.append(tuner.progress.step))
    assert steps == [whole.progress.step]  # nothing is left to do


@pytest.mark.parametrize("fused", [True, False])
def test_optimizer_state_is_restored_on_the_right_device(fused):
    """A device that only pretends stands for a GPU, whose fused optimizer refuses to count steps anywhere else."""
    parameters = {name: torch.nn.Parameter(torch.empty(size, device="meta")) for name, size in (("a", 2), ("b", 3))}
    groups = [{"params": [parameters["b"]], "peak": 0.1}, {"params": [parameters["a"]], "peak": 0.2}]
    optimizer = torch.optim.AdamW(groups, lr=0.5, fused=fused)
    state = {
        f"{key}/{name}": torch.tensor(4.0) if key == "step" else torch.ones(parameter.shape)
        for name, parameter in parameters.items()
        for key in ("step", "exp_avg", "exp_avg_sq")
    }
    tuner = SimpleNamespace(parameters=parameters, optimizer=optimizer)
    FineTuner._restore_optimizer(tuner, {"random": torch.get_rng_state(), **state})
    for parameter in parameters.values():
        found = optimizer.state[parameter]
        assert {key: value.device.type for key, value in found.items()} == {
            "step": "meta" if fused else "cpu",
            "exp_avg": "meta",
            "exp_avg_sq": "meta",
        }
        assert found["exp_avg"].shape == parameter.shape
    assert [(group["peak"], group["lr"]) for group in optimizer.param_groups] == [(0.1, 0.5), (0.2, 0.5)]


def test_lora_resumes_exactly_too(tiny_domain, sample, tmp_path):
    domain = tiny_domain.changed({"model.adapter": "lora"})
    once = {"epochs": 1}
    whole = make(domain, sample, **once)
    whole.run()
    kill(make(domain, sample, tmp_path, **once), 4)
    resumed = make(domain, sample, tmp_path, **once)
    resumed.run()
    assert alike(whole, resumed)


def test_a_sampled_softmax_learns_and_resumes_exactly(tiny_domain, sample, tmp_path):
    """Negatives follow from seed and step, and the checkpoint has what the optimizer keeps by row."""
    sampled = {"training.negatives": 20, "training.distillation": 0.3, "codes.factors": 24}
    domain = tiny_domain.changed(sampled)
    teacher = teacher_of(domain, sample)
    whole = make(domain, sample, teacher=teacher, epochs=3)
    log = whole.run().log
    check_learned(log)
    kill(make(domain, sample, tmp_path, teacher=teacher, epochs=3), 7)
    resumed = make(domain, sample, tmp_path, teacher=teacher, epochs=3)
    resumed.run()
    assert alike(whole, resumed)
    state = resumed.optimizer.state[resumed.parameters["code_embedding"]]
    assert {name: value.numel() for name, value in state.items()} == {
        "step": 1, "last": whole.llm.codes.vocabulary, "squares": whole.llm.codes.vocabulary,
    }  # fmt: skip


def test_a_step_changes_only_the_codes_that_it_reads(tiny_domain, sample):
    tuner = make(tiny_domain.changed({"training.negatives": 4}), sample, epochs=1, batch_tokens=64)
    before, drawn = tuner.llm.code_embedding.detach().clone(), tuner._sampler.draw(0).tokens
    batch = next(batch for batch in tuner.mixture.epoch(0, tuner.llm.answers) if batch.task == "next_item")
    tuner.steps = 1
    tuner._step(batch)
    changed = (tuner.llm.code_embedding.detach() != before).any(dim=1).nonzero().flatten().tolist()
    read = batch.ids[batch.ids >= tuner.llm.text_vocabulary] - tuner.llm.text_vocabulary
    assert set(changed) <= {*read.tolist(), *drawn.tolist()}
    assert set(drawn.tolist()) & set(changed)
    assert len(changed) < len(before)


def test_every_task_is_learned_and_logged(tiny_domain, sample):
    often = {f"tasks.{name}.weight": 1 for name in tiny_domain.tasks}
    tuner = make(tiny_domain.changed(often), sample, epochs=3, batch_tokens=512)
    log = tuner.run().log
    logged = {task for entry in log for task in entry["losses"]}
    assert logged == set(tiny_domain.tasks)
    check_learned(log)


@pytest.mark.parametrize(
    ("scale", "changes"),
    [([1, 2, 3, 4, 5], {"epochs": 10, "patience": 100}), ([1, 10, 1.5, 10.5], {"epochs": 8, "patience": 100})],
)
def test_ratings_of_items_are_learned(tiny_domain, sample, scale, changes):
    """Ratings of several tokens are learned too."""
    catalog, log = sample
    stars = np.float32(scale)[np.random.default_rng(0).integers(len(scale), size=len(catalog))]
    rated = Interactions(log.users, log.offsets, log.rows, log.n_items, stars[log.rows], log.times)
    settings = {"tasks": {"rating": {"weight": 1.0, "depth": "exit"}}, "rating_scale": [1, max(scale)]}
    tuner = make(tiny_domain.changed(settings), (catalog, rated), **changes)
    assert len(tuner.llm.answers["rating"]) == len(scale)
    check_learned(tuner.run().log, "rating", to=0.7)


def test_heads_of_answers_keep_the_words_they_know(tiny_domain, sample):
    llm = make(tiny_domain, sample).llm
    words = llm.answers["rating"]
    with torch.no_grad():
        llm.answer_heads["rating"] += 1
    learned = llm.answer_heads["rating"].detach().clone()
    new = torch.cat([words[1:], torch.tensor([[int(words.max()) + 1]])])
    llm.add_answer_heads({"rating": new})
    assert list(llm.answers) == list(llm.answer_heads) == ["rating"]
    assert torch.equal(llm.answer_heads["rating"][:-1], learned[1:])
    assert float(llm.answer_heads["rating"][-1].norm().detach()) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_trained_weights_over_a_half_precision_base_are_in_single_precision(tiny_domain, sample, monkeypatch, adapter):
    """What a GPU does, as far as a CPU can show it."""

    def in_half(*args):
        base, tokenizer = load_base(*args)
        return base.bfloat16(), tokenizer

    monkeypatch.setattr(llm_training, "load_base", in_half)
    monkeypatch.setattr("tiny_training._built", {})
    tuner = make(tiny_domain.changed({"model.adapter": adapter}), sample)
    llm = tuner.llm
    assert llm.base.get_input_embeddings().weight.dtype == torch.bfloat16
    assert {value.dtype for _, value in llm.trainable()} == {torch.float32}
    before = weights(tuner)
    check_learned(tuner.run().log)
    norm = weights(tuner)["item_backbone.norm.weight"] != before["item_backbone.norm.weight"]
    assert norm.float().mean() > 0.9  # in half precision most steps would be rounded away
    codes = llm.embed_items(torch.arange(len(llm.code_embedding)) + llm.text_vocabulary)
    expected = llm.code_embedding if adapter == "full" else llm.code_embedding.bfloat16()
    assert torch.equal(codes, expected)


def test_training_does_not_change_pretrained_weights(tiny_domain, sample):
    tuner = make(tiny_domain, sample)
    own = {name for name, _ in tuner.llm.trainable()}
    before = {n: p.detach().clone() for n, p in tuner.llm.named_parameters() if n not in own}
    changed = weights(tuner)
    tuner.run()
    assert all(torch.equal(value, dict(tuner.llm.named_parameters())[name]) for name, value in before.items())
    moved = [name for name, value in weights(tuner).items() if not torch.equal(value, changed[name])]
    assert any("item_backbone" in name for name in moved)
    assert "code_embedding" in moved
    assert any("lora_B.text" in name for name in moved)


def test_early_stopping_keeps_the_best_weights(tiny_domain, sample):
    tuner = make(tiny_domain, sample, epochs=50, patience=2, batch_tokens=640)
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9])
    at_best = {}

    def validate():
        score = next(scores)
        if score == 0.5:
            at_best.update(weights(tuner))
        return score

    tuner.validate = validate
    progress = tuner.run()
    assert [entry["ndcg@10"] for entry in progress.log] == [0.1, 0.5, 0.4, 0.3]
    assert all(torch.equal(value, weights(tuner)[name]) for name, value in at_best.items())


def test_the_time_budget_ends_the_run(tiny_domain, sample):
    """Time is what the run itself counts, so that a busy machine changes nothing."""
    limited = RunOptions(time_left=lambda progress: 1.8 - progress.seconds)
    tuner = make(tiny_domain, sample, epochs=10_000, validation=(), options=limited)
    progress = tuner.run()
    assert progress.finished
    assert 0 < progress.step < 10_000
    assert progress.log[-1]["learning_rate"] < 0.5 * tuner.training.learning_rate


def test_a_checkpoint_of_other_data_or_damaged_is_refused(tiny_domain, sample, tmp_path):
    kill(make(tiny_domain, sample, tmp_path), 2)
    cases = leave_one_out(sample[1], sample[0]).validation[1:]
    for changes in ({"seed": 1}, {"validation": cases}):
        with pytest.raises(CheckpointError, match="other data, prompts or settings"):
            make(tiny_domain, sample, tmp_path, **changes).run()
    file = tmp_path / "checkpoint" / "optimizer.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"optimizer.safetensors: differs"):
        make(tiny_domain, sample, tmp_path).run()


def test_quantized_weights_cannot_be_tuned_in_full(tiny_domain):
    settings = tiny_domain.changed({"model.quantization": "nf4"}).model
    with pytest.raises(ConfigError, match="lora"):
        LLM(None, None, None, settings)


def test_an_exit_layer_beyond_the_model_is_refused(tiny_domain, sample):
    with pytest.raises(ConfigError, match="has 4 layers"):
        make(tiny_domain.changed({"model.exit_layer": 9}), sample)


@pytest.mark.parametrize("quantization", ["int8", "nf4"])
def test_a_quantized_model_learns_by_adapters(tiny_domain, sample, quantization):
    """Also after a validation: a 4-bit layer that packs itself when it answers would let no gradient through."""
    domain = tiny_domain.changed({"model.adapter": "lora", "model.quantization": quantization})
    tuner = make(domain, sample, epochs=2)
    check_learned(tuner.run().log)  # it has validated
    batch = next(batch for batch in tuner.mixture.epoch(0, tuner.llm.answers) if batch.depth == "exit")
    names = (name for name in tuner.parameters if "layers.0." in name and "lora_B.item" in name)
    first = tuner.parameters[next(names)]
    tuner.llm.item_backbone.train()
    tuner.accelerator.backward(tuner.model(batch, True))
    assert first.grad is not None
    assert first.grad.abs().max() > 0


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_products_are_in_the_precision_asked_for(tiny_domain, sample, precision):
    tuner = make(tiny_domain.changed({"training.precision": precision}), sample, epochs=2)
    seen = set()
    tuner.llm.item_backbone.layers[0].mlp.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    log = tuner.run().log
    assert seen == {torch.float32} if precision == "fp32" else torch.bfloat16 in seen
    assert all(parameter.dtype == torch.float32 for parameter in tuner.parameters.values())
    check_learned(log)


def test_pretraining_on_the_catalog_comes_first(tiny_domain, sample):
    tuner = make(tiny_domain, sample, pretraining_epochs=2, epochs=1, batch_tokens=1024)
    log = tuner.run().log
    assert [set(entry["losses"]) == {"catalog_text"} for entry in log] == [True, True, False]
    assert log[1]["losses"]["catalog_text"] < log[0]["losses"]["catalog_text"]


def test_patience_and_the_best_begin_after_the_pretraining(tiny_domain, sample):
    tuner = make(tiny_domain, sample, pretraining_epochs=2, epochs=2, patience=1, batch_tokens=1024)
    tuner.mixture.epoch = lambda number, answers, epoch=tuner.mixture.epoch: epoch(number, answers)[:2]
    scores = iter([0.9, 0.8, 0.1, 0.2])
    tuner.validate = lambda: next(scores)
    progress = tuner.run()
    assert [(entry["epoch"], entry["ndcg@10"]) for entry in progress.log] == [(0, 0.9), (0, 0.8), (1, 0.1), (2, 0.2)]
    assert progress.best == 0.2
    assert TrainingResult.of(progress).epochs == 2


def test_a_time_limit_within_the_pretraining_gives_no_best_value(tiny_domain, sample):
    limited = RunOptions(time_left=lambda progress: 0.0 if progress.step else 1e6)
    tuner = make(tiny_domain, sample, pretraining_epochs=3, patience=1, options=limited)
    tuner.validate = lambda: 0.9
    progress = tuner.run()
    assert progress.step == 1
    assert (TrainingResult.of(progress).epochs, progress.best) == (None, -1)


def test_epochs_with_fewer_batches_than_validations_are_counted(tiny_domain, sample):
    tuner = make(tiny_domain, sample, epochs=3, validations_per_epoch=100, patience=100)
    lengths = [len(tuner.mixture.epoch(number, tuner.llm.answers)) for number in range(3)]
    assert max(lengths) < 100
    validations = iter(range(sum(lengths)))
    tuner.validate = lambda: float(-abs(next(validations) - lengths[0]))  # best after the first batch of the second
    progress = tuner.run()
    assert [entry["epoch"] for entry in progress.log] == pytest.approx(
        [number + (place + 1) / length for number, length in enumerate(lengths) for place in range(length)]
    )
    assert TrainingResult.of(progress).epochs == 2  # the best was 1 + 1 / lengths[1]


def test_a_larger_budget_resumes_training(tiny_domain, sample, tmp_path):
    steps = make(tiny_domain, sample, tmp_path, epochs=1, batch_tokens=640).run().step
    assert make(tiny_domain, sample, tmp_path, epochs=2, batch_tokens=640).run().step > steps


def test_stage_and_share_are_reported(tiny_domain, sample):
    def teacher(interactions, on_share):
        on_share(0.5)
        return SoftTargets.empty(len(interactions), 3)

    tuner = make(
        tiny_domain, sample, pretraining_epochs=1, epochs=1, distillation=0.1, teacher=teacher, batch_tokens=640
    )
    told = []
    tuner.run(lambda tuner: told.append((tuner.stage, tuner.share())))
    assert list(dict.fromkeys(stage for stage, _ in told)) == ["soft targets", "pre-training", "training"]
    assert [share for stage, share in told if stage == "soft targets"] == [0, 0.5]
    shares = [share for stage, share in told if stage != "soft targets"]
    assert shares == sorted(shares)
    assert 0 < shares[0] < shares[-1] == 1


MEMBERS = {"ease": Ease, "sequential_rules": SequentialRules}


def teacher_of(domain, sample):
    catalog, interactions = sample
    split = leave_one_out(interactions, catalog)
    fitted = {name: make().fit(split.train) for name, make in MEMBERS.items()}
    return choose_teacher(domain, MEMBERS, fitted, split.validation, len(catalog))


def test_a_soft_target_is_part_label_part_teacher():
    logits = torch.tensor([[2.0, 1.0, 0.0, -1.0], [0.0, 3.0, -torch.inf, 1.0]])
    known = logits.log_softmax(1)
    codes, shares = torch.tensor([[0, 2], [2, 3]]), torch.tensor([[0.3, 0.1], [0.2, 0.2]])
    first = 0.6 * known[0, 1] + 0.3 * known[0, 0] + 0.1 * known[0, 2]
    second = 0.8 * known[1, 1] + 0.2 * known[1, 3]  # code 2 is left out of the softmax: its share goes to the label
    loss = soft_cross_entropy(logits, torch.tensor([1, 1]), codes, shares)
    assert loss.item() == pytest.approx(-(first + second).item())


def test_without_distillation_there_are_no_soft_targets(tiny_domain, sample):
    def teacher(*_):
        raise AssertionError("asked")

    assert teacher_of(tiny_domain, sample) is None
    plain = make(tiny_domain, sample, epochs=1, batch_tokens=640)
    plain.run()
    other = make(tiny_domain, sample, epochs=1, batch_tokens=640, teacher=teacher)
    other.run()
    assert alike(plain, other)


def test_a_teacher_without_soft_targets_hardly_changes_training(tiny_domain, sample):
    def teacher(interactions, _):
        return SoftTargets.empty(len(interactions), 5)

    plain = make(tiny_domain, sample, epochs=1).run().log
    taught = make(tiny_domain, sample, epochs=1, distillation=0.5, teacher=teacher).run().log
    assert taught[-1]["losses"] == pytest.approx(plain[-1]["losses"], rel=1e-3)


def test_each_target_gets_the_soft_targets_of_its_interaction(tiny_domain, sample):
    tuner = make(tiny_domain, sample, distillation=0.4, teacher=teacher_of)
    interactions = leave_one_out(sample[1], sample[0]).train
    numbers = np.arange(len(interactions))
    rows = np.stack([numbers % interactions.n_items, (numbers + 1) % interactions.n_items], axis=1).astype(np.int32)
    tuner._soft_targets = SoftTargets(rows, np.tile(np.float16([0.75, 0.25]), (len(numbers), 1)))
    for batch in tuner.mixture.epoch(0, tuner.mixture.answers()):
        soft = tuner._with_soft_targets(batch)
        if batch.task != "next_item":
            assert soft is batch
            continue
        origins = batch.origins[batch.target_ids != NO_TARGET].numpy()
        labels = batch.target_ids[batch.target_ids != NO_TARGET].numpy() - tuner.llm.text_vocabulary
        assert (interactions.rows[origins] == labels).all()
        assert (soft.soft_codes.numpy() == rows[origins]).all()
        assert soft.soft_shares[0].tolist() == pytest.approx([0.3, 0.1])


def test_distillation_moves_the_model_towards_the_teacher(tiny_domain, sample):
    """With a teacher that always expects one item, that item becomes likelier than it would be."""

    def teacher(interactions, _):
        count = len(interactions), 1
        return SoftTargets(np.full(count, 7, np.int32), np.ones(count, np.float16))

    alone, found = tiny_domain.changed({"tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}}), []
    for weight in (0.0, 0.5, 1.0):
        tuner = make(alone, sample, distillation=weight, epochs=4, batch_tokens=320, teacher=teacher)
        tuner.validate = None
        tuner.run()
        first = tuner.llm.text_vocabulary
        ids = torch.tensor([[first + 1, first + 2, first + 3]])
        batch = Batch("next_item", "exit", ids, ids, torch.full_like(ids, -1))
        found.append(tuner.llm.code_logits(tuner.llm.hidden(batch)).softmax(-1)[..., 7].mean().item())
    assert found == sorted(found)
    assert found[2] > 3 * found[0]


def test_distillation_trains_and_resumes(tiny_domain, sample, tmp_path):
    domain = tiny_domain.changed({"training.distillation": 0.5})
    teacher = teacher_of(domain, sample)
    whole = make(domain, sample, teacher=teacher)
    check_learned(whole.run().log)
    kill(make(domain, sample, tmp_path, teacher=teacher), 4)
    with pytest.raises(CheckpointError, match="other data, prompts or settings"):
        make(tiny_domain, sample, tmp_path).run()
    resumed = make(domain, sample, tmp_path, teacher=teacher)
    resumed.run()
    assert alike(whole, resumed)


def test_a_refit_has_soft_targets_of_its_own_data(tiny_domain, sample):
    catalog, interactions = sample
    domain = tiny_domain.changed({"training.distillation": 0.5, "training.refit_epochs": 1})
    split, asked = leave_one_out(interactions, catalog), []

    def teacher(interactions, _):
        asked.append(interactions)
        return SoftTargets.empty(len(interactions), 3)

    llm, data = tiny_llm(domain, catalog, split.train), TaskData(catalog, split.train_and_validation, domain)
    stages = set()

    def follow(tuner):
        stages.add(tuner.stage)

    refit, _ = refit_llm(llm, book_of(domain), data, None, RunOptions(teacher, on_step=follow))
    assert refit is llm
    assert asked == [split.train_and_validation]
    assert stages == {"soft targets", "refit"}


def test_a_refit_from_scratch_trains_another_model_for_as_long_as_was_best(tiny_domain, sample):
    catalog, interactions = sample
    domain, split, epochs = (
        tiny_domain.changed({"training.refit": "from_scratch"}),
        leave_one_out(interactions, catalog),
        [],
    )
    llm, data = tiny_llm(domain, catalog, split.train), TaskData(catalog, split.train_and_validation, domain)
    before = {name: value.clone() for name, value in llm.state_dict().items()}
    options = RunOptions(epochs=3, on_step=lambda tuner: epochs.append(tuner.progress.epoch))
    refit, _ = refit_llm(llm, book_of(domain), data, None, options)
    assert all(torch.equal(value, before[name]) for name, value in llm.state_dict().items())
    assert refit is not llm
    assert max(epochs) == 3
    start = build_llm(domain, catalog, data.interactions).state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in refit.state_dict().items())


def test_a_refit_resumes_only_from_the_weights_it_began_with(tiny_domain, sample, tmp_path, caplog):
    caplog.set_level("INFO")
    split, steps = leave_one_out(sample[1], sample[0]), []
    alone = {"tasks": {"next_item": {"weight": 1.0, "depth": "exit"}}, "training.batch_tokens": 160}
    domain = tiny_domain.changed(alone)
    data = TaskData(sample[0], split.train_and_validation, domain)

    def refit(folder, moved=0.0, stop=None):
        """Continue after a first training that has moved the weights so far."""
        llm = tiny_llm(domain, sample[0], split.train)
        llm.code_embedding.data += moved

        def on_step(tuner):
            tuner.checkpoint_seconds = 0
            steps.append(tuner.progress.step)
            if tuner.progress.step == stop:
                raise Killed

        return (
            refit_llm(llm, book_of(domain), data, folder, RunOptions(on_step=on_step))[0]
            .code_embedding.detach()
            .clone()
        )

    whole, further = refit(None), refit(None, moved=0.1)
    last = max(steps)
    with pytest.raises(Killed):
        refit(tmp_path, stop=2)
    steps.clear()
    assert torch.equal(refit(tmp_path), whole)
    assert steps[0] == 2  # whose checkpoint was not written yet
    steps.clear()
    assert torch.equal(refit(tmp_path), whole)
    assert set(steps) == {last}  # nothing was left to do
    assert "other weights" not in caplog.text
    steps.clear()
    assert torch.equal(refit(tmp_path, moved=0.1), further)
    assert steps[0] == 1
    assert "it began with other weights than now" in caplog.text


def test_impossible_distillation_is_refused(tiny_domain, sample, caplog):
    make(tiny_domain, sample, distillation=0.5)
    assert "there are no soft targets" in caplog.text
    longer = tiny_domain.changed({"codes.scheme": "semantic", "codes.length": 2, "codes.width": 8})
    with pytest.raises(ConfigError, match=r'codes\.scheme = "atomic"'):
        make(longer, sample, distillation=0.5, teacher=teacher_of)
