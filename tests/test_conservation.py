"""A Gaussian prediction under a linear constraint: conserved to round-off, and equal to conditioning by the textbook."""

import pytest
import torch
from torch.distributions import Independent, Laplace, LowRankMultivariateNormal, MultivariateNormal, Normal

from pliant.learn.constrain import GaussianConstraint
from pliant.sim.errors import InputError

N, BATCH = 30, (4, 3)


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def predictions() -> dict:
    mean, half = torch.randn(*BATCH, N), torch.randn(*BATCH, N, N) / N**0.5
    return {
        "diagonal": Normal(mean, torch.rand(*BATCH, N) + 0.1),
        "independent": Independent(Normal(mean, torch.rand(*BATCH, N) + 0.1), 1),
        "dense": MultivariateNormal(mean, half @ half.mT + 0.01 * torch.eye(N)),
        "low rank": LowRankMultivariateNormal(mean, torch.randn(*BATCH, N, 3), torch.rand(*BATCH, N) + 0.01),
    }


def dense_covariance(prediction) -> torch.Tensor:
    if hasattr(prediction, "covariance_matrix"):
        return prediction.covariance_matrix
    return torch.diag_embed(prediction.variance)


def weights() -> torch.Tensor:
    """Mass by the trapezoidal rule on a grid that is not even, and the first moment."""
    x = torch.linspace(0, 1, N) ** 1.5
    w = torch.zeros(N)
    w[1:] += 0.5 * x.diff()
    w[:-1] += 0.5 * x.diff()
    return torch.stack([w, w * x])


def kinds():
    return pytest.mark.parametrize("kind", ["diagonal", "independent", "dense", "low rank"])


@kinds()
@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_it_is_gaussian_conditioning(kind, noise):
    """Of the joint Gaussian of u and c = G u + noise on c = b, by blocks of its precision matrix."""
    prediction, G, b = predictions()[kind], weights(), torch.randn(*BATCH, 2)
    found = GaussianConstraint(G, b, noise)(prediction)
    sigma = dense_covariance(prediction)
    if noise:
        precision = torch.linalg.inv(sigma) + G.T @ G / noise**2
        covariance = torch.linalg.inv(precision)
        right = torch.linalg.solve(sigma, prediction.mean[..., None])[..., 0] + b @ G / noise**2
        mean = (covariance @ right[..., None])[..., 0]
    else:  # in coordinates along the null space of G, u = u0 + Z y, where the constraint has no say
        Z = torch.linalg.svd(G).Vh[2:].T
        u0 = b @ torch.linalg.pinv(G).T
        inner = torch.linalg.inv(Z.T @ torch.linalg.solve(sigma, Z))
        y = inner @ (Z.T @ torch.linalg.solve(sigma, (prediction.mean - u0)[..., None]))
        mean, covariance = u0 + (Z @ y)[..., 0], Z @ inner @ Z.T
    assert torch.allclose(found.mean, mean, rtol=0, atol=1e-10)
    assert torch.allclose(found.covariance_matrix, covariance, rtol=0, atol=1e-10)
    assert torch.allclose(found.variance, covariance.diagonal(dim1=-2, dim2=-1), rtol=0, atol=1e-10)


@kinds()
def test_mean_and_samples_conserve_to_round_off_and_no_variance_is_left_along_the_rows(kind):
    G, b = weights(), torch.randn(*BATCH, 2)
    constraint = GaussianConstraint(G, b)
    found = constraint(predictions()[kind])
    assert constraint.residual(found.mean).abs().max() < 1e-12
    samples = found.rsample((50,))
    assert samples.shape == (50, *BATCH, N)
    assert constraint.residual(samples).abs().max() < 1e-12
    assert (G @ found.covariance_matrix @ G.T).abs().max() < 1e-12
    assert constraint.residual(predictions()[kind].mean).abs().max() > 0.1


@pytest.mark.parametrize("noise", [0.0, 0.2])
def test_samples_have_the_mean_and_covariance_that_are_told(noise):
    prediction = LowRankMultivariateNormal(torch.randn(6), torch.randn(6, 2), torch.rand(6) + 0.1)
    found = GaussianConstraint(torch.rand(2, 6), torch.randn(2), noise)(prediction)
    samples = found.rsample((200_000,))
    assert torch.allclose(samples.mean(0), found.mean, atol=0.02)  # five standard errors of 2 / sqrt(200,000)
    assert torch.allclose(torch.cov(samples.T), found.covariance_matrix, atol=0.05)


def test_the_projection_is_the_mean_update_of_equal_variances():
    G, b, mean = weights(), torch.randn(4, 2), torch.randn(4, N)
    constraint = GaussianConstraint(G, b)
    projected = constraint.project(mean)
    assert torch.allclose(projected, constraint(Normal(mean, torch.full((4, N), 0.37))).mean, rtol=0, atol=1e-12)
    assert constraint.residual(projected).abs().max() < 1e-12
    assert torch.allclose(constraint.project(mean[0])[0], projected[0], atol=1e-12)
    moved = projected - mean  # the shortest way lies along the rows
    assert torch.allclose(moved @ torch.linalg.svd(G).Vh[2:].T, torch.zeros(()), atol=1e-12)


def test_what_is_certain_moves_less():
    scale = torch.ones(N)
    scale[: N // 2] = 1e-3
    mean = torch.zeros(N)
    found = GaussianConstraint(torch.ones(1, N) / N, torch.ones(1))(Normal(mean, scale))
    assert found.mean[: N // 2].abs().max() < 1e-5 * found.mean[N // 2 :].abs().min()


def test_noise_between_ignoring_and_obeying():
    """mu' moves by S / (S + noise^2) of the way, S the variance of G u."""
    G, b = torch.ones(1, N) / N, torch.ones(1)
    prediction = Normal(torch.zeros(N), torch.ones(N))
    for noise, share in ((0.0, 1.0), ((1 / N) ** 0.5, 0.5), (1e3, 0.0)):
        found = GaussianConstraint(G, b, noise)(prediction)
        assert float(G @ found.mean) == pytest.approx(share, abs=1e-6)


@kinds()
def test_the_density_under_noise_is_that_of_the_mean_and_covariance(kind):
    prediction = predictions()[kind]
    found = GaussianConstraint(weights(), torch.randn(*BATCH, 2), 0.3)(prediction)
    u = torch.randn(*BATCH, N)
    expected = MultivariateNormal(found.mean, found.covariance_matrix).log_prob(u)
    assert torch.allclose(found.log_prob(u), expected, rtol=1e-9)


def test_marginals_are_the_likelihood_of_every_entry():
    found = GaussianConstraint(weights(), torch.randn(*BATCH, 2))(predictions()["diagonal"])
    marginals = found.marginals()
    assert torch.equal(marginals.mean, found.mean) and (marginals.variance > 0).all()
    assert (marginals.variance <= predictions()["diagonal"].variance.max()).all()


def test_single_precision_predictions_are_conserved_in_double():
    prediction = Normal(torch.randn(N).float(), torch.rand(N).float() + 0.1)
    constraint = GaussianConstraint(weights().float(), torch.ones(2).float())
    found = constraint(prediction)
    assert found.mean.dtype == torch.float64 and constraint.residual(found.mean).abs().max() < 1e-12


def test_small_and_large_units_conserve_alike():
    for unit in (1e-9, 1e9):
        constraint = GaussianConstraint(weights() * unit, torch.ones(2))
        found = constraint(Normal(torch.randn(N) / unit, (torch.rand(N) + 0.1) / unit))
        assert constraint.residual(found.mean).abs().max() < 1e-12


def test_gradients_flow_to_prediction_rows_values_and_noise():
    inputs = [torch.randn(5), torch.rand(5) + 0.5, torch.rand(2, 5), torch.randn(2), torch.tensor(0.4)]

    def outcome(mean, scale, G, b, noise):
        found = GaussianConstraint(G, b, noise)(Normal(mean, scale))
        return found.mean, found.variance, found.covariance_matrix, found.log_prob(torch.ones(5))

    assert torch.autograd.gradcheck(outcome, [i.requires_grad_() for i in inputs])

    def exact(mean, scale, G, b):
        found = GaussianConstraint(G, b)(Normal(mean, scale))
        return found.mean, found.covariance_matrix

    assert torch.autograd.gradcheck(exact, inputs[:4])


ROWS = torch.tensor([[1.0, 1.0, 0.0], [2.0, 2.0, 0.0]])
GOOD = Normal(torch.zeros(3), torch.ones(3))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: GaussianConstraint(ROWS, torch.tensor([1.0, 2.0])), "2 rows of rank 1, whose values say the same"),
        (lambda: GaussianConstraint(ROWS, torch.tensor([1.0, 3.0])), "rank 1, whose values contradict each other"),
        (lambda: GaussianConstraint(torch.zeros(1, 3), torch.ones(1)), "rank 0, whose values contradict"),
        (lambda: GaussianConstraint(torch.ones(4, 3), torch.randn(4)), "4 rows of rank 1"),
        (lambda: GaussianConstraint(torch.ones(3), torch.ones(1)), r"G \[k, n\]"),
        (lambda: GaussianConstraint(torch.ones(1, 3), torch.ones(2)), r"b \[..., k\]"),
        (lambda: GaussianConstraint(torch.ones(1, 3), torch.ones(1), -1.0), "noise >= 0"),
        (lambda: GaussianConstraint(torch.ones(1, 3) * torch.nan, torch.ones(1)), "finite"),
        (lambda: GaussianConstraint(torch.ones(1, 4), torch.ones(1))(GOOD), "prediction of 4 entries"),
        (lambda: GaussianConstraint(torch.ones(1, 3), torch.ones(1))(Laplace(torch.zeros(3), 1.0)), "got Laplace"),
        (lambda: GaussianConstraint(torch.ones(1, 3), torch.ones(1))(GOOD).log_prob(torch.ones(3)), "marginals"),
        (lambda: GaussianConstraint(torch.eye(3)[:1], torch.ones(1))(GOOD).marginals(), "the constraint determines"),
        (
            lambda: GaussianConstraint(torch.ones(1, 3), torch.ones(1))(
                Normal(torch.zeros(3), torch.tensor([1.0, -1.0, 1.0]), validate_args=False)
            ),
            "expected a positive covariance",
        ),
        (lambda: GaussianConstraint(torch.ones(1, 3), torch.ones(1)).project(torch.ones(2)), "3 entries on its last axis"),
        (lambda: GaussianConstraint(ROWS, torch.ones(2), 0.1).project(torch.ones(3)), "rank 1"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()


def test_a_covariance_without_variance_along_the_rows_is_refused():
    flat = torch.tensor([[1.0, 0.0], [-1.0, 1e-9]])  # nearly no variance in the sum
    prediction = MultivariateNormal(torch.zeros(2), scale_tril=flat, validate_args=False)
    found = GaussianConstraint(torch.ones(1, 2), torch.ones(1))(prediction)
    assert float(found.mean.sum()) == pytest.approx(1.0, abs=1e-6)
    two = torch.diag(torch.tensor([1.0, 1e-12]))
    with pytest.raises(InputError, match="singular or negative there; add a jitter"):
        GaussianConstraint(torch.eye(2), torch.ones(2))(MultivariateNormal(torch.zeros(2), scale_tril=two))


def test_dependent_rows_are_fine_under_noise():
    found = GaussianConstraint(ROWS, torch.tensor([1.0, 2.0]), 0.1)(GOOD)
    assert found.mean.isfinite().all() and float(found.mean[:2].sum()) == pytest.approx(1.0, abs=0.01)
