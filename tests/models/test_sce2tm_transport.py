"""The transport between topics and genes: its plan, its cost, its gradient, and what happens at the edges."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.functional import normalize

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm._transport import Transport, sinkhorn_plan, transport_cost, unrolled_cost, unrolled_plan
from corpuscle.models.sce2tm._transport_distance import squared_distances

EPSILON = 0.05


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def vectors(n_topics, n_genes, n_embed=200, seed=0):
    rng = torch.Generator().manual_seed(seed)
    rows = torch.randn(n_topics + n_genes, n_embed, generator=rng)
    return normalize(rows[:n_topics]), normalize(rows[n_topics:])


def fresh_cost(n_topics, n_genes, n_embed=200, seed=0, length=1.0):
    topic_kd, gene_gd = vectors(n_topics, n_genes, n_embed, seed)
    return squared_distances(length * topic_kd, length * gene_gd, on_sphere=False)


def gradient(function, cost_kg):
    cost_kg = cost_kg.detach().clone().requires_grad_()
    loss = function(cost_kg)
    loss.backward()
    return loss.item(), cost_kg.grad


def log_domain_cost(cost_kg, gene_mass_g=None, n_iter=2000):
    """Plain log-domain Sinkhorn, differentiated through all its iterations: slow and beyond doubt."""
    n_topics, n_genes = cost_kg.shape
    row = torch.full((n_topics,), 1 / n_topics, dtype=cost_kg.dtype).log()
    column = torch.full((n_genes,), 1 / n_genes, dtype=cost_kg.dtype) if gene_mass_g is None else gene_mass_g
    f, h = torch.zeros_like(row), torch.zeros_like(column)
    for _ in range(n_iter):
        h = column.log() - torch.logsumexp(f[:, None] - cost_kg / EPSILON, 0)
        f = row - torch.logsumexp(h - cost_kg / EPSILON, 1)
    return ((f[:, None] + h - cost_kg / EPSILON).exp() * cost_kg).sum()


def agreement(one, other):
    one, other = one.double().flatten(), other.double().flatten()
    return float(one @ other / one.norm() / other.norm()), float((one - other).norm() / other.norm())


def assert_plan(plan, gene_mass_g=None):
    n_topics, n_genes = plan.plan_kg.shape
    mass_g = torch.full((n_genes,), 1 / n_genes) if gene_mass_g is None else gene_mass_g
    assert torch.isfinite(plan.plan_kg).all()
    assert (plan.plan_kg >= 0).all()
    assert (plan.plan_kg.double().sum(1) - 1 / n_topics).abs().max() < 1e-6
    assert (plan.plan_kg.double().sum(0) - mass_g).abs().sum() < 1e-4


# --- the plan -----------------------------------------------------------------------------------------------------


def test_fresh_unit_vectors_cost_what_they_are_known_to():
    loss, plan = transport_cost(fresh_cost(100, 5000), EPSILON)
    assert loss.item() == pytest.approx(1.70, abs=0.01)
    assert_plan(plan)


def test_the_plan_is_that_of_a_reference_solver():
    ot = pytest.importorskip("ot")
    cost_kg = fresh_cost(20, 300, 20)
    a, b = torch.full((20,), 1 / 20).double().numpy(), torch.full((300,), 1 / 300).double().numpy()
    kwargs = {"method": "sinkhorn_log", "numItermax": 2000, "stopThr": 1e-9}
    theirs = torch.from_numpy(ot.sinkhorn(a, b, cost_kg.double().numpy(), EPSILON, **kwargs))
    loss, plan = transport_cost(cost_kg, EPSILON)
    assert loss.item() == pytest.approx(float((theirs * cost_kg).sum()), rel=1e-5)
    assert (plan.plan_kg - theirs).abs().sum() < 1e-3


def test_vectors_of_twice_the_length_keep_all_their_mass_where_the_published_loop_loses_it():
    cost_kg = fresh_cost(100, 5000, length=2.0)
    loss, plan = transport_cost(cost_kg, EPSILON)
    assert plan.plan_kg.sum().item() == pytest.approx(1.0, abs=1e-5)
    assert loss.item() == pytest.approx(6.60, abs=0.02)
    with pytest.raises(MethodError, match=r"mass 0 and not 1.*ecr_solver='implicit'.*normalize_embeddings=True"):
        unrolled_cost(cost_kg, EPSILON)


def test_published_loop_and_ours_agree_on_unit_vectors():
    cost_kg = fresh_cost(100, 1000)
    published, published_grad = gradient(lambda c: unrolled_cost(c, EPSILON), cost_kg)
    ours, ours_grad = gradient(lambda c: transport_cost(c, EPSILON)[0], cost_kg)
    assert ours == pytest.approx(published, rel=1e-3)
    cosine, relative = agreement(ours_grad, published_grad)
    assert cosine > 0.999
    assert relative < 0.03


def test_the_published_loop_looks_at_its_error_every_fifty_iterations():
    plan_kg, iterations, error = unrolled_plan(fresh_cost(50, 500), EPSILON)
    assert iterations % 50 == 1
    assert error <= 0.005
    assert plan_kg.sum().item() == pytest.approx(1.0, abs=0.01)


@settings(max_examples=40, deadline=None)
@given(
    n_topics=st.integers(1, 12),
    n_genes=st.integers(1, 60),
    scale=st.floats(1e-3, 300.0),
    shift=st.floats(-50.0, 50.0),
    seed=st.integers(0, 10_000),
    even=st.booleans(),
)
def test_every_cost_gets_a_plan_with_the_right_marginals(n_topics, n_genes, scale, shift, seed, even):
    rng = torch.Generator().manual_seed(seed)
    cost_kg = scale * torch.rand(n_topics, n_genes, generator=rng) + shift
    mass_g = None if even else torch.rand(n_genes, generator=rng).double() + 1e-3
    plan = sinkhorn_plan(cost_kg, EPSILON, gene_mass_g=mass_g)
    assert_plan(plan, None if even else mass_g / mass_g.sum())


def test_vectors_in_one_point_give_the_even_plan_and_a_cost_of_nothing():
    cost_kg = torch.zeros(7, 30)
    loss, grad = gradient(lambda c: transport_cost(c, EPSILON)[0], cost_kg)
    assert loss == 0
    assert torch.allclose(grad, torch.full((7, 30), 1 / 210), atol=1e-8)
    lifted, _ = transport_cost(cost_kg + 3.0, EPSILON)
    assert lifted.item() == pytest.approx(3.0, rel=1e-5)


def test_costs_a_thousand_times_as_large_give_the_unregularised_answer():
    ot = pytest.importorskip("ot")
    cost_kg = 1000 * fresh_cost(10, 200, 20)
    loss, grad = gradient(lambda c: transport_cost(c, EPSILON)[0], cost_kg)
    a, b = torch.full((10,), 1 / 10).double().numpy(), torch.full((200,), 1 / 200).double().numpy()
    assert loss == pytest.approx(float(ot.emd2(a, b, cost_kg.double().numpy())), rel=1e-4)
    assert torch.isfinite(grad).all()
    assert_plan(sinkhorn_plan(cost_kg, EPSILON))


def test_a_gene_without_mass_gets_none_and_does_no_harm():
    mass_g = torch.ones(50)
    mass_g[:5] = 0
    cost_kg = fresh_cost(6, 50, 10)
    loss, grad = gradient(lambda c: transport_cost(c, EPSILON, gene_mass_g=mass_g)[0], cost_kg)
    without, grad_without = gradient(lambda c: transport_cost(c, EPSILON)[0], cost_kg[:, 5:])
    assert loss == pytest.approx(without, rel=1e-5)
    assert (grad[:, :5] == 0).all()
    assert torch.allclose(grad[:, 5:], grad_without, atol=1e-6)


# --- the gradient -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("even", [True, False])
def test_gradient_is_the_slope_of_the_converged_cost(even):
    cost_kg = fresh_cost(4, 11, 3).double()
    mass_g = None if even else torch.linspace(1, 3, 11, dtype=torch.float64)

    def cost(c):
        return transport_cost(c, EPSILON, gene_mass_g=mass_g, tol=1e-13)[0]

    assert torch.autograd.gradcheck(cost, (cost_kg.requires_grad_(),), eps=1e-6, atol=1e-6)


@pytest.mark.parametrize("length", [0.3, 1.0, 3.0])
@pytest.mark.parametrize("even", [True, False])
def test_float32_gradient_is_that_of_long_unrolling_in_float64(length, even):
    cost_kg = fresh_cost(8, 60, 10, length=length)
    mass_g = None if even else torch.linspace(1, 5, 60)
    exact_mass = None if even else mass_g.double() / mass_g.double().sum()
    exact, exact_grad = gradient(lambda c: log_domain_cost(c, exact_mass), cost_kg.double())
    ours, ours_grad = gradient(lambda c: transport_cost(c, EPSILON, gene_mass_g=mass_g)[0], cost_kg)
    assert ours == pytest.approx(exact, rel=1e-4)
    cosine, relative = agreement(ours_grad, exact_grad)
    assert cosine > 0.999999
    assert relative < 1e-3


def test_gradient_scales_with_what_comes_from_above():
    cost_kg = fresh_cost(5, 40, 10)
    _, once = gradient(lambda c: transport_cost(c, EPSILON)[0], cost_kg)
    _, weighted = gradient(lambda c: 7.5 * transport_cost(c, EPSILON)[0], cost_kg)
    assert torch.allclose(weighted, 7.5 * once)


def test_without_a_gradient_wanted_the_cost_is_the_same():
    cost_kg = fresh_cost(5, 40, 10).requires_grad_()
    with torch.no_grad():
        plain, _ = transport_cost(cost_kg, EPSILON)
    assert not plain.requires_grad
    assert plain.item() == transport_cost(cost_kg, EPSILON)[0].item()


# --- the term of a training run -----------------------------------------------------------------------------------


def moving_costs(n_steps=12, length=1.0, on_sphere=False):
    """Costs along a path of vectors that move as they do in training, 0.001 a coordinate and step."""
    topic_kd, gene_gd = vectors(20, 400)
    rng = torch.Generator().manual_seed(1)
    for _ in range(n_steps):
        yield squared_distances(length * topic_kd, length * gene_gd, on_sphere=on_sphere)
        topic_kd = topic_kd + 1e-3 * torch.randn(topic_kd.shape, generator=rng)
        gene_gd = gene_gd + 1e-3 * torch.randn(gene_gd.shape, generator=rng)


@pytest.mark.parametrize("length", [0.5, 1.0, 5.0])
def test_a_warm_start_ends_where_a_cold_one_does(length):
    term = Transport(20, 400, EPSILON)
    for cost_kg in moving_costs(length=length):
        warm, warm_grad = gradient(term, cost_kg)
        cold, cold_grad = gradient(lambda c: transport_cost(c, EPSILON)[0], cost_kg)
        assert warm == pytest.approx(cold, rel=1e-4)
        assert agreement(warm_grad, cold_grad)[1] < 1e-3
        assert term.error <= 1e-5


def test_a_warm_step_takes_a_few_iterations():
    term = Transport(20, 400, EPSILON)
    taken = []
    for cost_kg in moving_costs():
        gradient(term, cost_kg)
        taken.append(term.iterations)
    assert max(taken[1:]) < 12  # the published loop takes 51 or more on these


def test_a_start_from_elsewhere_still_arrives():
    term = Transport(20, 400, EPSILON)
    for cost_kg in (fresh_cost(20, 400), 1000 * fresh_cost(20, 400, seed=1), fresh_cost(20, 400, seed=2)):
        assert term(cost_kg).item() == pytest.approx(transport_cost(cost_kg, EPSILON)[0].item(), rel=1e-4)


def test_two_runs_repeat_to_the_last_bit():
    one, other = Transport(20, 400, EPSILON), Transport(20, 400, EPSILON)
    for cost_kg in moving_costs(4):
        (a, grad_a), (b, grad_b) = gradient(one, cost_kg), gradient(other, cost_kg)
        assert a == b
        assert torch.equal(grad_a, grad_b)


def test_the_term_adds_nothing_to_a_saved_model_and_can_be_copied():
    term = Transport(20, 400, EPSILON, gene_mass_g=torch.rand(400) + 0.1)
    cost_kg = fresh_cost(20, 400).requires_grad_()
    before = term(cost_kg).item()
    assert term.state_dict() == {}
    assert copy.deepcopy(term)(cost_kg).item() == pytest.approx(before, rel=1e-6)


def test_the_unrolled_term_is_the_published_loop():
    cost_kg = fresh_cost(20, 400)
    term = Transport(20, 400, EPSILON, solver="unrolled")
    assert gradient(term, cost_kg)[0] == gradient(lambda c: unrolled_cost(c, EPSILON), cost_kg)[0]
    assert term.iterations % 50 == 1
    assert 0 <= term.error <= 0.005


# --- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), float("-inf")])
def test_a_cost_that_is_not_finite_is_refused_cold_and_warm(wrong):
    term = Transport(20, 400, EPSILON)
    for _ in range(2):
        broken = fresh_cost(20, 400)
        broken[3, 7] = wrong
        with pytest.raises(MethodError, match=r"not finite.*\(lr\)"):
            term(broken)
        term(fresh_cost(20, 400))


@pytest.mark.parametrize("mass", [torch.ones(3), -torch.ones(40), torch.zeros(40), torch.full((40,), float("nan"))])
def test_gene_masses_that_make_no_sense_are_refused(mass):
    with pytest.raises(MethodError, match="gene masses"):
        Transport(5, 40, EPSILON, gene_mass_g=mass)


def test_a_search_that_may_not_move_says_so_and_gives_no_plan():
    with pytest.raises(MethodError, match="no plan after"):
        sinkhorn_plan(fresh_cost(20, 400), EPSILON, max_iter=0)


def test_wrong_options_are_refused():
    with pytest.raises(OptionError, match="ecr_solver='plain'"):
        Transport(5, 40, EPSILON, solver="plain")
    with pytest.raises(OptionError, match="ecr_epsilon=0"):
        Transport(5, 40, 0)


# --- distances ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("on_sphere", [True, False])
def test_distances_and_their_derivative_are_those_written_out(on_sphere):
    topic_kd, gene_gd = (2 * v.double().requires_grad_() for v in vectors(4, 9, 5))
    cost_kg = squared_distances(topic_kd, gene_gd, on_sphere=on_sphere)
    a, b = (normalize(topic_kd), normalize(gene_gd)) if on_sphere else (topic_kd, gene_gd)
    assert torch.allclose(cost_kg, (a[:, None] - b).square().sum(2))
    pair = (topic_kd.detach().requires_grad_(), gene_gd.detach().requires_grad_())
    assert torch.autograd.gradcheck(lambda t, g: squared_distances(t, g, on_sphere=on_sphere), pair)
