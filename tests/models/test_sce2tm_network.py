"""The parts of scE2TM against their formulas: written out plainly here, whatever shortcuts the package takes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("scvi")

from torch.nn import functional as F  # noqa: E402

from corpuscle.errors import MethodError, OptionError  # noqa: E402
from corpuscle.models._cells import SparseRows  # noqa: E402
from corpuscle.models.sce2tm import _likelihood  # noqa: E402
from corpuscle.models.sce2tm._distillation import (  # noqa: E402
    balance,
    consistency,
    distillation,
    kl_to_prior,
    prior_variance,
)
from corpuscle.models.sce2tm._network import Decoder  # noqa: E402
from corpuscle.models.sce2tm._rows import Rows  # noqa: E402
from corpuscle.models.sce2tm.module import SCE2TMModule  # noqa: E402
from corpuscle.models.sce2tm.recipe import recipe  # noqa: E402

V, E, B = 60, 7, 24


@pytest.fixture(autouse=True)
def one_thread_and_seed():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def cells(seed=0, *, n=B, n_genes=V, density=0.2):
    """Log expression of a few cells, CSR float64."""
    rng = np.random.default_rng(seed)
    x = sp.random(n, n_genes, density=density, format="csr", random_state=rng, data_rvs=lambda k: rng.gamma(2, 1, k))
    return x.astype(np.float64)


def dense(x):
    return torch.from_numpy(x.toarray())


def compressed(x):
    return SparseRows(*(torch.from_numpy(part) for part in (x.indptr, x.indices, x.data)), x.shape)


def batch_of(seed=0, *, as_dense=True):
    x, neighbour = cells(seed), cells(seed + 1)
    form = dense if as_dense else compressed
    g = torch.Generator().manual_seed(seed)
    return {
        "x": form(x),
        "x_neighbour": form(neighbour),
        "row_sum": torch.from_numpy(np.asarray(x.sum(1)).ravel()),
        "view": torch.randn(B, E, generator=g, dtype=torch.float64),
        "view_neighbour": torch.randn(B, E, generator=g, dtype=torch.float64),
    }


def small(name="corpuscle", *, ecr_weight=20.0, view_width=E, n_batches=0, **changes):
    choices = {"n_topics": 6, "n_hidden": 9, "n_embed": 5} | changes
    return SCE2TMModule(
        V, recipe(name, **choices), ecr_weight=ecr_weight, view_width=view_width, n_batches=n_batches
    ).double()


def decoder(**changes):
    choices = {"beta_temp": 0.2, "normalize_embeddings": False} | changes
    return Decoder(V, 6, 5, **choices).double()


def proportions(n, k, seed=0):
    return torch.softmax(torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2, 1)


# -- topics and genes ----------------------------------------------------------------------------------------


def test_weights_of_a_gene_sum_to_one_over_topics_and_those_of_a_topic_do_not():
    beta = decoder().beta_kg()
    assert torch.allclose(beta.sum(0), torch.ones(V, dtype=beta.dtype))
    assert not torch.allclose(beta.sum(1), torch.ones(6, dtype=beta.dtype), atol=0.1)


def test_weights_depend_on_distances_only():
    d = decoder()
    before = d.beta_kg().detach()
    with torch.no_grad():
        d.topic_kd += 0.7
        d.gene_gd += 0.7
    assert torch.allclose(d.beta_kg(), before)


@pytest.mark.parametrize("normalize", [True, False])
def test_cost_is_the_squared_distance_of_the_vectors_the_model_shows(normalize):
    d = decoder(normalize_embeddings=normalize)
    with torch.no_grad():
        d.topic_kd *= 3.0
        d.gene_gd *= 0.4
    expected = torch.cdist(d.topic_vectors(), d.gene_vectors()).square()
    assert torch.allclose(d.cost_kg(), expected)
    lengths = d.gene_vectors().norm(dim=1)
    assert torch.allclose(lengths, torch.full_like(lengths, 1.0 if normalize else 0.4))


def test_fresh_vectors_have_length_one():
    d = decoder()
    assert torch.allclose(d.topic_kd.norm(dim=1), torch.ones(6, dtype=torch.float64), atol=1e-6)
    assert torch.allclose(d.gene_gd.norm(dim=1), torch.ones(V, dtype=torch.float64), atol=1e-6)


def test_folded_batch_normalisation_is_batch_normalisation():
    """Logits, running statistics and gradients are those of nn.BatchNorm1d on theta x beta, in both modes."""
    d, plain = decoder(), torch.nn.BatchNorm1d(V).double()
    with torch.no_grad():
        plain.weight.copy_(d.norm.weight.uniform_(0.5, 2))
        plain.bias.copy_(d.norm.bias.normal_())
    for seed in (1, 2):
        z = proportions(B, 6, seed).log().requires_grad_()
        theta = torch.softmax(z, dim=1)
        ours, theirs = d.logits(theta), plain(theta @ d.beta_kg())
        weights = torch.randn(B, V, dtype=torch.float64)
        for parameter in (z, d.topic_kd):
            got, expected = (
                torch.autograd.grad((out * weights).sum(), parameter, retain_graph=True)[0] for out in (ours, theirs)
            )
            assert torch.allclose(got, expected, rtol=1e-6, atol=1e-9)
        assert torch.allclose(ours, theirs)
    assert torch.allclose(d.norm.running_mean, plain.running_mean)
    assert torch.allclose(d.norm.running_var, plain.running_var)
    assert d.norm.num_batches_tracked == 2
    d.eval()
    plain.eval()
    assert torch.allclose(d.logits(theta), plain(theta @ d.beta_kg()))


def test_batches_have_centred_intercepts_that_begin_at_zero():
    d = decoder(n_batches=2).eval()
    theta, batch = proportions(4, 6), torch.tensor([0, 1, 0, 1])
    base = d.logits(theta)
    assert torch.allclose(d.logits(theta, batch), base)
    with torch.no_grad():
        d.intercept_bg[1] += 3.0
    assert torch.allclose(d.logits(theta), base)
    assert torch.allclose(d.logits(theta, batch) - base, torch.tensor([-1.5, 1.5, -1.5, 1.5])[:, None].double())


# -- terms of the loss ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("n_topics", "alpha"), [(100, 1.0), (2, 1.0), (20, 0.1)])
def test_divergence_is_that_of_normal_distributions(n_topics, alpha):
    var = prior_variance(n_topics, alpha)
    assert var == pytest.approx((1 - 1 / n_topics) / alpha)
    mu, lv = torch.randn(B, n_topics).double(), torch.randn(B, n_topics).double()
    expected = torch.distributions.kl_divergence(
        torch.distributions.Normal(mu, (0.5 * lv).exp()),
        torch.distributions.Normal(torch.zeros_like(mu), math.sqrt(var)),
    ).sum(1)
    assert torch.allclose(kl_to_prior(mu, lv, var), expected)
    at_prior = kl_to_prior(torch.zeros_like(mu), torch.full_like(mu, math.log(var)), var)
    assert torch.allclose(at_prior, torch.zeros(B, dtype=torch.float64), atol=1e-12)


def test_distillation_of_parallel_columns_and_its_floor():
    even = torch.full((50, 100), 0.01)
    assert distillation(even, even, 0.5).item() == pytest.approx(math.log(199), abs=1e-4)
    each_its_own = torch.eye(100)
    assert distillation(each_its_own, each_its_own, 0.5).item() == pytest.approx(
        math.log(1 + 198 * math.exp(-2)), abs=1e-4
    )
    assert math.log(1 + 198 * math.exp(-2)) == pytest.approx(3.325, abs=1e-3)


def test_distillation_tells_partners_from_strangers():
    p = proportions(B, 6)
    shuffled = p[torch.randperm(B)]
    assert distillation(p, p, 0.5) < distillation(p, shuffled, 0.5)


def test_consistency_and_balance_at_their_ends():
    one_hot = torch.eye(6)
    assert consistency(one_hot, one_hot).item() == 0
    assert balance(one_hot).item() == pytest.approx(math.log(6), rel=1e-6)
    assert balance(one_hot[:1].expand(5, 6)).item() == pytest.approx(0, abs=1e-6)


def test_disjoint_assignments_are_finite_with_their_gradient():
    p, q = torch.eye(2).requires_grad_(), torch.eye(2).flip(0)
    value = consistency(p, q)
    value.backward()
    assert 50 < value.item() < math.inf
    assert p.grad.isfinite().all()


def test_agreement_just_above_one_is_no_negative_loss():
    p = torch.tensor([[1.0 + 1e-6, 0.0]])
    assert consistency(p, torch.tensor([[1.0, 0.0]])).item() == 0


# -- reconstruction ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", [dense, compressed])
def test_own_derivatives_are_right(form):
    x = cells(n=4, n_genes=9, density=0.25)
    rows = Rows(form(x))
    assert (rows.dense is None) == (form is compressed)
    weight = torch.randn(9, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rows.times, (weight,))
    design = proportions(4, 3).requires_grad_()

    def mean(design, weight):
        return _likelihood.softmax_cross_entropy(design, weight, rows, rows.sums())[0]

    assert torch.autograd.gradcheck(mean, (design, weight.T.detach().requires_grad_()))


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 9), n_genes=st.integers(1, 30), k=st.integers(1, 4), density=st.floats(0, 1),
    block=st.integers(1, 100), seed=st.integers(0, 99), scale=st.sampled_from([1.0, 100.0]),
)  # fmt: skip
def test_cross_entropy_is_the_plain_formula_whatever_the_blocks(n, n_genes, k, density, block, seed, scale):
    x = cells(seed, n=n, n_genes=n_genes, density=density)
    generator = torch.Generator().manual_seed(seed)
    design = proportions(n, k, seed)
    weight = scale * torch.randn(k, n_genes, generator=generator, dtype=torch.float64)
    expected = -(dense(x) * torch.log_softmax(design @ weight, 1)).sum(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_likelihood, "BLOCK_ENTRIES", block)
        rows = Rows(compressed(x))
        mean, each = _likelihood.softmax_cross_entropy(design, weight, rows, rows.sums())
    assert torch.allclose(each, expected, rtol=1e-9, atol=1e-9)
    assert torch.allclose(mean, expected.mean(), rtol=1e-9, atol=1e-9)


def test_dense_and_sparse_cells_give_one_loss_and_gradient():
    module = small()
    found = []
    for as_dense in (True, False):
        torch.manual_seed(5)
        module.zero_grad()
        out = module(batch_of(as_dense=as_dense))[2]
        out.loss.backward()
        found.append(
            (out.loss.item(), module.encoder.genes.weight_gh.grad.clone(), module.decoder.gene_gd.grad.clone())
        )
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, other in zip(found[0][1:], found[1][1:], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


# -- the whole objective -------------------------------------------------------------------------------------


def plain_norm(x, norm):
    return F.batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=1e-5)


def plain_encode(m, x):
    e = m.encoder
    h = torch.tanh(plain_norm(x @ e.genes.weight_gh + e.genes.bias, e.norm))
    h = h @ e.hidden.weight.T + e.hidden.bias
    return (
        plain_norm(h @ e.mean.weight.T + e.mean.bias, e.mean_norm),
        plain_norm(h @ e.log_variance.weight.T + e.log_variance.bias, e.log_variance_norm),
    )


def plain_draw(mu, lv):
    return torch.softmax(mu + torch.exp(lv / 2) * torch.randn_like(mu), dim=1)


def plain_transport(cost):
    """The published loop, differentiated through all of it."""
    n_topics, n_genes = cost.shape
    kernel = torch.exp(-20 * cost)
    u = torch.full((n_topics,), 1 / n_topics, dtype=cost.dtype)
    for step in range(1000):
        v = (1 / n_genes) / (kernel.T @ u + 1e-16)
        u = (1 / n_topics) / (kernel @ v + 1e-16)
        if step % 50 == 0 and (v * (kernel.T @ u) - 1 / n_genes).abs().sum() <= 0.005:
            break
    return (u[:, None] * kernel * v * cost).sum()


def plain_contrast(a, b):
    k = a.shape[1]
    columns = torch.cat([a, b], dim=1).T
    columns = columns / columns.norm(dim=1, keepdim=True)
    s = columns @ columns.T / 0.5
    total = 0.0
    for i in range(2 * k):
        others = torch.cat([s[i, :i], s[i, i + 1 :]])
        total = total + torch.logsumexp(others, 0) - s[i, (i + k) % (2 * k)]
    return total / (2 * k)


def plain_head(m, v):
    h = m.view_head
    hidden = torch.tanh(plain_norm(v @ h.hidden.weight.T + h.hidden.bias, h.norm))
    return torch.softmax(hidden @ h.topics.weight.T + h.topics.bias, dim=1)


def plain_objective(m, t):
    """L_rec + KL + L_ECR + L_CME with the published constants."""
    k = m.decoder.topic_kd.shape[0]
    mu, lv = plain_encode(m, t["x"])
    theta = plain_draw(mu, lv)
    topic, gene = m.decoder.topic_kd, m.decoder.gene_gd
    cost = (topic[:, None, :] - gene[None]).square().sum(-1)
    beta = torch.exp(-cost / 0.2) / torch.exp(-cost / 0.2).sum(0)
    r = torch.softmax(plain_norm(theta @ beta, m.decoder.norm), dim=1)
    rec = -(t["x"] * r.log()).sum(1).mean()
    s2 = 1 - 1 / k
    kl = (0.5 * ((lv.exp() / s2 + mu**2 / s2 + math.log(s2) - lv).sum(1) - k)).mean()
    q_neighbour = plain_draw(*plain_encode(m, t["x_neighbour"]))
    q = plain_draw(*plain_encode(m, t["x"]))
    p, p_neighbour = plain_head(m, t["view"]), plain_head(m, t["view_neighbour"])
    agree = F.binary_cross_entropy((q * p).sum(1), torch.ones(len(q), dtype=q.dtype))
    even = sum(-(a.mean(0) * a.mean(0).log()).sum() for a in (q, p))
    cross = plain_contrast(p, q_neighbour) + plain_contrast(q, p_neighbour) + agree - 5 * even
    return rec + kl + 100 * plain_transport(cost) + cross


def test_authors_recipe_is_the_published_objective_and_its_gradient():
    module, tensors = small("authors", ecr_weight=100.0), batch_of()
    torch.manual_seed(3)
    ours = module(tensors)[2].loss
    torch.manual_seed(3)
    plain = plain_objective(module, tensors)
    assert ours.item() == pytest.approx(plain.item(), rel=1e-7)
    weights = list(module.parameters())
    for got, expected in zip(torch.autograd.grad(ours, weights), torch.autograd.grad(plain, weights), strict=True):
        assert torch.allclose(got, expected, rtol=1e-4, atol=1e-5 * float(expected.abs().max()) + 1e-9)


def test_parts_add_up_to_the_loss():
    out = small(ecr_weight=20.0, cross_view_weight=0.5)(batch_of())[2]
    parts = out.extra_metrics
    assert out.loss.item() == pytest.approx(sum(parts[name].item() for name in ("rec", "kl", "ecr", "cross_view")))
    cross = parts["distill"] + parts["consistency"] - 5.0 * parts["balance"]
    assert parts["cross_view"].item() == pytest.approx(0.5 * cross.item())


@pytest.mark.parametrize("without", [{"view_width": None}, {"cross_view_weight": 0.0}])
def test_without_a_second_view_there_is_neither_head_nor_loss(without):
    module = small(**without)
    assert module.view_head is None
    tensors = {name: value for name, value in batch_of().items() if name in ("x", "row_sum")}
    parts = module(tensors)[2].extra_metrics
    assert "cross_view" not in parts
    assert "distill" not in parts


@pytest.mark.parametrize("by_expression", [False, True])
def test_contrast_takes_the_mean_distance_from_the_transport(by_expression):
    mass = torch.rand(V, dtype=torch.float64) + 0.1
    options = {"ecr_weight": 1.0, "view_width": None, "gene_mass_g": mass / mass.sum() if by_expression else None}
    choices = {"n_topics": 6, "n_hidden": 9, "n_embed": 5}
    found = []
    for contrast in (False, True):
        torch.manual_seed(0)
        module = SCE2TMModule(V, recipe("corpuscle", **choices, ecr_contrast=contrast), **options).double()
        found.append(module(batch_of())[2].extra_metrics["ecr"].item())
    cost = module.decoder.cost_kg()
    mean = (cost * mass / mass.sum()).sum() / 6 if by_expression else cost.mean()
    assert found[0] - found[1] == pytest.approx(mean.item(), rel=1e-4)
    assert found[1] < 0


def test_contrast_with_free_vectors_is_refused():
    with pytest.raises(OptionError, match="ecr_contrast=False"):
        small(normalize_embeddings=False, ecr_contrast=True)


def test_without_weight_there_is_no_transport():
    module = small(ecr_weight=0.0)
    assert module.transport is None
    assert "ecr" not in module(batch_of())[2].extra_metrics


def test_published_anchor_pass_updates_the_running_statistics_three_times():
    for anchor_pass, times in ((True, 3), (False, 2)):
        module = small(anchor_pass=anchor_pass)
        module(batch_of())
        assert module.encoder.norm.num_batches_tracked.item() == times


def test_each_view_learns_from_the_other():
    module = small()
    cross = module(batch_of())[2].extra_metrics["cross_view"]
    for weight in (module.view_head.topics.weight, module.encoder.genes.weight_gh):
        assert torch.autograd.grad(cross, weight, retain_graph=True)[0].abs().max() > 0


def test_a_mini_batch_of_one_cell_is_refused():
    tensors = {"x": dense(cells(n=1)), "row_sum": torch.ones(1)}
    with pytest.raises(MethodError, match="one cell"):
        small(view_width=None)(tensors)


# -- asking a trained model ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def used():
    """A module whose running statistics have seen some cells."""
    torch.manual_seed(0)
    module = small(n_batches=2)
    for seed in range(5):
        module(batch_of(seed, as_dense=False) | {"batch": torch.arange(B) % 2})
    return module.eval()


def test_topics_of_a_cell_do_not_depend_on_the_cells_beside_it(used):
    x = cells(9)
    together = used.encode(dense(x))
    for i in (0, 5):
        assert torch.allclose(used.encode(dense(x[i : i + 1])), together[i], atol=1e-10)
        assert torch.allclose(used.encode(compressed(x[i : i + 3])), together[i : i + 3], atol=1e-10)


def test_genes_in_another_order_with_their_weights_give_the_same_topics(used):
    x, order = cells(9), np.random.default_rng(0).permutation(V)
    expected = used.encode(dense(x))
    other = small(n_batches=2)
    other.load_state_dict(used.state_dict())
    with torch.no_grad():
        other.encoder.genes.weight_gh.copy_(used.encoder.genes.weight_gh[order])
    assert torch.allclose(other.encode(dense(x[:, order])), expected)


def test_decoding_gives_shares_and_does_not_depend_on_other_cells(used):
    theta = proportions(5, 6)
    shares = used.decode(theta).exp()
    assert torch.allclose(shares.sum(1), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(used.decode(theta[2:3]), used.decode(theta)[2:3])


def test_asking_leaves_a_module_in_training_as_it_was():
    module = small()
    module(batch_of())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    first, second = module.encode(dense(cells(3))), module.encode(dense(cells(3)))
    module.decode(proportions(5, 6))
    assert torch.equal(first, second)
    assert module.training
    assert module.encoder.norm.training
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_posterior_draws_have_their_shape_and_sum_to_one(used):
    draws = used.sample({"x": dense(cells(3))}, n_samples=4)
    assert draws.shape == (4, B, 6)
    assert torch.allclose(draws.sum(2), torch.ones(4, B, dtype=torch.float64))
