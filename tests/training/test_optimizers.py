import pytest
import torch
import torch.nn.functional as F

from genre_gen.domain import Training
from genre_gen.training.optimizers import RowAdamW, clip_gradients, make_optimizer

START = torch.linspace(-1, 1, 24).reshape(6, 4)


def lookup(table, rows, seed=0):
    """Fill the sparse gradient of some rows, which may repeat."""
    rows = torch.tensor(rows)
    weights = torch.randn(len(rows), 4, generator=torch.Generator().manual_seed(seed))
    (F.embedding(rows, table, sparse=True) * weights).sum().backward()


def test_only_rows_that_were_read_change():
    table = torch.nn.Parameter(START.clone())
    optimizer = RowAdamW([table], lr=0.1, betas=(0.9, 0.98))
    lookup(table, [1, 4, 1])
    optimizer.step()
    changed = (table.detach() != START).any(dim=1)
    assert changed.tolist() == [False, True, False, False, True, False]
    assert {name for name in optimizer.state[table]} == {"step", "last", "squares"}


def test_a_row_that_is_read_rarely_moves_as_far_as_by_momentum():
    """Compared with AdamW, where one gradient moves a row in many steps."""
    moved = []
    for sparse in (True, False):
        table = torch.nn.Parameter(START.clone())
        optimizer = RowAdamW([table], lr=0.01, betas=(0.9, 0.98), weight_decay=0.0)
        for step in range(300):
            rows = torch.tensor([2, 0] if step == 150 else [2])  # row 0 once, when the moments are no longer new
            F.embedding(rows, table, sparse=sparse).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        moved.append((START[0] - table[0]).detach())
    assert torch.allclose(moved[0], moved[1], rtol=0.15)
    assert moved[1].min() > 0.05


def test_dense_parameters_are_updated_as_by_adamw():
    ours, theirs = (torch.nn.Parameter(START.clone()) for _ in range(2))
    table = torch.nn.Parameter(START.clone())
    options = {"lr": 0.1, "betas": (0.9, 0.98), "weight_decay": 0.01, "fused": True}
    mixed, plain = RowAdamW([ours, table], **options), torch.optim.AdamW([theirs], **options)
    for step in range(3):
        lookup(table, [step])
        for weights, optimizer in ((ours, mixed), (theirs, plain)):
            (weights.sin() * (step + 1)).sum().backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
    assert torch.equal(ours, theirs)


def test_sparse_gradients_count_in_the_norm():
    norms = []
    for sparse in (True, False):
        table, other = torch.nn.Parameter(START.clone()), torch.nn.Parameter(START.clone())
        rows = torch.tensor([1, 1, 5])
        (100 * F.embedding(rows, table, sparse=sparse).sin().sum() + other.cos().sum()).backward()
        clip_gradients([table, other, torch.nn.Parameter(START.clone())], 1.0)
        norms.append(torch.cat([table.grad.to_dense(), other.grad]).clone())
    torch.testing.assert_close(norms[0], norms[1])
    assert float(norms[0].norm()) == pytest.approx(1, abs=1e-3)


def test_groups_have_the_learning_rates_of_the_settings():
    shapes = {"code_embedding": (6, 4), "code_projection": (4, 8), "answer_heads.rating": (5, 8), "norm": (8,)}
    parameters = {name: torch.nn.Parameter(torch.ones(shape)) for name, shape in shapes.items()}
    training = Training(learning_rate=0.1, code_learning_rate=0.2, weight_decay=0.3)
    groups = make_optimizer(parameters, training).param_groups
    found = [(len(group["params"]), group["peak"], group["weight_decay"]) for group in groups]
    assert found == [(1, 0.1, 0.3), (1, 0.1, 0.0), (2, 0.2, 0.0)]
