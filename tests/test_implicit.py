"""Implicit differentiation: closed forms, finite differences, torch's own checks; and no solve that fails in silence."""

import math

import pytest
import torch
from torch.autograd import forward_ad
from torch.autograd.function import once_differentiable
from torch.func import functional_call, grad, hessian, jacfwd, jacrev, jvp, vmap

from pliant.learn.constrain import (
    CG,
    GMRES,
    Anderson,
    BiCGSTAB,
    ConvergenceError,
    DenseLU,
    Given,
    Newton,
    NormalCG,
    Picard,
    custom_fixed_point,
    custom_root,
    linear_solve,
)
from pliant.sim.errors import InputError

KRYLOV = [CG(), NormalCG(), BiCGSTAB(), GMRES(), GMRES(restart=4)]
ALL = [*KRYLOV, DenseLU()]


@pytest.fixture(autouse=True)
def double_precision():
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def name(value) -> str:
    kind = value if isinstance(value, type) else type(value)
    return kind.__name__ + ("-4" if getattr(value, "restart", 30) == 4 else "")


def positive_definite(n: int, *batch: int) -> torch.Tensor:
    half = torch.randn(*batch, n, n)
    return half @ half.mT / n + torch.eye(n)


def cube_root(a: torch.Tensor, start: float = 1.0) -> torch.Tensor:
    """Of every entry, the slow way."""
    return custom_root(lambda x, a: x**3 - a)(torch.full(a.shape, start), a)


class Ridge:
    """|X w - y|^2 / 2 + exp(log_penalty) |w|^2 / 2 and its closed form."""

    def __init__(self, samples: int = 40, features: int = 8):
        self.X, self.y = torch.randn(samples, features), torch.randn(samples)

    def gradient(self, w: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
        return self.X.T @ (self.X @ w - self.y) + penalty * w

    def closed(self, penalty: torch.Tensor) -> torch.Tensor:
        n = self.X.shape[1]
        return torch.linalg.solve(self.X.T @ self.X + penalty * torch.eye(n), self.X.T @ self.y)

    def slope(self, penalty: torch.Tensor) -> torch.Tensor:
        """dw/dpenalty = -(X^T X + penalty)^-1 w."""
        n = self.X.shape[1]
        return -torch.linalg.solve(self.X.T @ self.X + penalty * torch.eye(n), self.closed(penalty))


@pytest.mark.parametrize("solver", ALL, ids=name)
def test_ridge_regression_has_the_derivative_of_its_closed_form(solver):
    ridge, penalty = Ridge(), torch.tensor(0.7)
    solve = custom_root(ridge.gradient, linear_solver=solver)
    fitted = lambda penalty: solve(torch.zeros(8), penalty)  # noqa: E731
    assert torch.allclose(fitted(penalty), ridge.closed(penalty), rtol=0, atol=1e-9)
    for jacobian in (jacrev(fitted)(penalty), jacfwd(fitted)(penalty)):
        assert torch.allclose(jacobian, ridge.slope(penalty), rtol=0, atol=1e-8)


def test_a_parameter_without_axes_gets_its_true_gradient():
    ridge = Ridge()
    penalty = torch.tensor(0.7, requires_grad=True)
    assert penalty.ndim == 0
    custom_root(ridge.gradient)(torch.zeros(8), penalty).sum().backward()
    assert penalty.grad.shape == ()
    assert float(penalty.grad) == pytest.approx(float(ridge.slope(penalty.detach()).sum()), rel=1e-8)
    assert abs(float(penalty.grad)) > 1e-3


@pytest.mark.parametrize("solver", ALL, ids=name)
def test_a_linear_solve_passes_every_check_of_torch(solver):
    matrix, b = positive_definite(3).requires_grad_(), torch.randn(3, requires_grad=True)
    scale = torch.tensor(1.3, requires_grad=True)

    def solve(matrix, b, scale):
        symmetric = lambda x, m, s: s * (m @ x + m.T @ x)  # noqa: E731
        return linear_solve(symmetric, b, matrix, scale, solver=solver)

    expected = torch.linalg.solve(scale * (matrix + matrix.T), b)
    assert torch.allclose(solve(matrix, b, scale), expected, rtol=1e-8)
    assert torch.autograd.gradcheck(solve, (matrix, b, scale), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(solve, (matrix, b, scale))


@pytest.mark.parametrize("solver", [NormalCG(), BiCGSTAB(), GMRES(), GMRES(restart=4), DenseLU()], ids=name)
def test_an_unsymmetric_system_is_differentiated_with_its_transpose(solver):
    matrix, b = (torch.eye(6) * 3 + torch.randn(6, 6)).requires_grad_(), torch.randn(6, requires_grad=True)
    solve = lambda m, b: linear_solve(m, b, solver=solver)  # noqa: E731
    v = torch.randn(6)
    ours = torch.autograd.grad(solve(matrix, b) @ v, (matrix, b))
    theirs = torch.autograd.grad(torch.linalg.solve(matrix, b) @ v, (matrix, b))
    for a, c in zip(ours, theirs, strict=True):
        assert torch.allclose(a, c, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("solver", ALL, ids=name)
def test_many_right_hand_sides_are_solved_together_each_to_its_own_tolerance(solver):
    matrix, scales = positive_definite(7), 10.0 ** torch.arange(-6.0, 6.0, 2.0)[:, None]
    b = scales * torch.randn(6, 7)
    b[2] = 0.0
    found = linear_solve(matrix, b, solver=solver)
    expected = torch.linalg.solve(matrix, b.T).T
    assert ((found - expected).norm(dim=1) <= 1e-8 * expected.norm(dim=1)).all()


def test_batched_matrices_equal_one_after_the_other_and_vmap():
    matrices, b = positive_definite(4, 3), torch.randn(3, 4)
    together = linear_solve(matrices, b)
    apart = torch.stack([linear_solve(m, row) for m, row in zip(matrices, b, strict=True)])
    mapped = vmap(linear_solve)(matrices, b)
    assert torch.allclose(together, apart, rtol=1e-9) and torch.allclose(mapped, apart, rtol=1e-9)


def test_structures_of_tensors_are_unknowns_and_parameters():
    """x^3 = a and x y = b as a dict of unknowns and a tuple in a dict of parameters."""

    def F(u, p, shift):
        (a, b), (y,) = p["ab"], u["y"]
        return {"x": u["x"] ** 3 - a, "y": [u["x"] * y - b + shift]}

    a, b = torch.tensor([8.0, 27.0]), torch.tensor([4.0, 6.0])
    solve = custom_root(F)
    start = {"x": torch.ones(2), "y": [torch.ones(2)]}
    both = lambda a, b: solve(start, {"ab": (a, b)}, 0.0)  # noqa: E731
    found = both(a, b)
    assert torch.allclose(found["x"], a ** (1 / 3)) and torch.allclose(found["y"][0], b / a ** (1 / 3))
    slope = jacrev(lambda a: both(a, b)["y"][0].sum())(a)
    assert torch.allclose(slope, -b * a ** (-4 / 3) / 3)


def test_derivatives_of_a_root_pass_every_check_of_torch():
    a = torch.tensor([2.0, 3.0, 5.0], requires_grad=True)
    assert torch.autograd.gradcheck(cube_root, (a,), check_forward_ad=True)
    assert torch.autograd.gradgradcheck(cube_root, (a,))
    assert torch.autograd.gradgradcheck(cube_root, (a,), check_fwd_over_rev=True, check_undefined_grad=False)


def test_second_derivatives_agree_with_finite_differences():
    """Of the validation loss of ridge regression in its penalty, and with the closed form."""
    ridge, target = Ridge(), torch.randn(8)
    solve = custom_root(ridge.gradient)
    loss = lambda p: (solve(torch.zeros(8), p) - target).square().sum()  # noqa: E731
    p, h = torch.tensor(0.7), 1e-4
    difference = float(grad(loss)(p + h) - grad(loss)(p - h)) / (2 * h)
    closed = float(hessian(lambda p: (ridge.closed(p) - target).square().sum())(p))
    p_plain = p.clone().requires_grad_()
    (first,) = torch.autograd.grad(loss(p_plain), p_plain, create_graph=True)
    (plain,) = torch.autograd.grad(first, p_plain)
    for second in (
        float(plain),
        float(hessian(loss)(p)),
        float(jacfwd(jacfwd(loss))(p)),
        float(jacrev(jacrev(loss))(p)),
    ):
        assert second == pytest.approx(closed, rel=1e-7)
        assert second == pytest.approx(difference, rel=1e-5)


def test_third_derivatives_are_there():
    a = torch.tensor(2.0)
    third = grad(grad(grad(cube_root)))(a)
    assert float(third) == pytest.approx(10 / 27 * 2.0 ** (-8 / 3), rel=1e-8)


def test_transforms_of_torch_func_compose():
    a = torch.tensor([2.0, 3.0, 5.0])
    exact = lambda a: a ** (1 / 3)  # noqa: E731
    summed = lambda f: lambda a: f(a).sum()  # noqa: E731
    for ours, theirs in [
        (jacrev(cube_root)(a), jacrev(exact)(a)),
        (jacfwd(cube_root)(a), jacfwd(exact)(a)),
        (hessian(summed(cube_root))(a), hessian(summed(exact))(a)),
        (vmap(cube_root)(a.expand(4, 3)), exact(a).expand(4, 3)),
        (vmap(grad(summed(cube_root)))(a.expand(4, 3)), grad(summed(exact))(a).expand(4, 3)),
        (grad(lambda a: vmap(cube_root)(a.expand(4, 3)).sum())(a), 4 * grad(summed(exact))(a)),
        (jvp(cube_root, (a,), (a,))[1], jvp(exact, (a,), (a,))[1]),
    ]:
        assert torch.allclose(ours, theirs, rtol=1e-9)


def test_forward_mode_works_without_torch_func_too():
    a = torch.tensor([2.0, 3.0, 5.0])
    with forward_ad.dual_level():
        found = forward_ad.unpack_dual(cube_root(forward_ad.make_dual(a, torch.ones(3)))).tangent
    assert torch.allclose(found, a ** (-2 / 3) / 3)


def contraction(n: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
    """x = tanh(W x) + a with |W| = 0.9, and a."""
    W = torch.randn(n, n)
    return 0.9 * W / torch.linalg.matrix_norm(W, 2), torch.randn(n)


@pytest.mark.parametrize("solver", [Picard(), Anderson(), Anderson(memory=0), Newton()], ids=repr)
def test_a_fixed_point_s_gradient_is_that_of_the_unrolled_iteration(solver):
    W, a = contraction()
    W.requires_grad_(), a.requires_grad_()
    T = lambda x, W, a: torch.tanh(W @ x) + a  # noqa: E731
    v = torch.randn(12)
    ours = torch.autograd.grad(custom_fixed_point(T, solver)(torch.zeros(12), W, a) @ v, (W, a))
    x = torch.zeros(12)
    for _ in range(300):
        x = T(x, W, a)
    theirs = torch.autograd.grad(x @ v, (W, a))
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-8)


def test_anderson_needs_fewer_iterations_than_picard():
    W = 0.95 * torch.linalg.qr(torch.randn(12, 12)).Q
    a, calls = torch.randn(12), []

    def T(x):
        calls.append(1)
        return W @ x + a

    counts = []
    for solver in (Picard(), Anderson(memory=12)):
        calls.clear()
        custom_fixed_point(T, solver)(torch.zeros(12))
        counts.append(len(calls))
    assert counts[1] < counts[0] / 5


def slope_of(errors: list[float], tolerances: list[float]) -> float:
    x = torch.tensor([math.log(t) for t in tolerances])
    y = torch.tensor([math.log(e) for e in errors])
    return float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())


def test_the_gradient_s_error_is_proportional_to_the_tolerance_of_the_solution():
    W, a = contraction()
    T = lambda x, a: torch.tanh(W @ x) + a  # noqa: E731
    gradient = lambda tolerance: grad(  # noqa: E731
        lambda a: custom_fixed_point(T, Picard(tolerance=tolerance), DenseLU())(torch.zeros(12), a).square().sum()
    )(a)
    exact, tolerances = gradient(1e-13), [10.0**-k for k in range(2, 10)]
    errors = [float((gradient(t) - exact).norm()) for t in tolerances]
    assert slope_of(errors, tolerances) == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("solver", [CG, NormalCG, BiCGSTAB, GMRES], ids=name)
def test_the_gradient_s_error_is_proportional_to_the_tolerance_of_the_linear_solver(solver):
    """The solution is exact; many eigenvalues make Krylov's residual fall evenly. The mean is over right-hand sides."""
    n = 120
    vectors, values = torch.linalg.qr(torch.randn(n, n)).Q, torch.linspace(1.0, 8.0, n)
    matrix, weights = (vectors * values) @ vectors.T, torch.randn(8, n)
    exact = torch.linalg.solve(matrix, weights.T).T

    def error(tolerance: float) -> float:
        equation = custom_root(
            lambda x, a: x @ matrix - a,
            Given(lambda F, x: torch.zeros_like(x)),
            solver(tolerance=tolerance),
            batch_dims=1,
        )
        found = grad(lambda a: (weights * equation(torch.zeros(8, n), a)).sum())(torch.zeros(8, n))
        return float((found - exact).norm())

    tolerances = [10.0**-k for k in range(2, 10)]
    assert slope_of([error(t) for t in tolerances], tolerances) == pytest.approx(1.0, abs=0.1)


def kept_bytes(function) -> int:
    """What autograd keeps for the way back."""
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t.nbytes) or t, lambda t: t):
        function()
    return sum(kept)


def test_memory_does_not_depend_on_the_number_of_iterations():
    W, a = contraction()
    a.requires_grad_()
    calls = []

    def T(x, a):
        calls.append(1)
        return torch.tanh(W @ x) + a

    def unrolled(steps):
        x = torch.zeros(12)
        for _ in range(steps):
            x = T(x, a)

    kept, counts = [], []
    for tolerance in (1e-1, 1e-12):
        calls.clear()
        kept.append(kept_bytes(lambda t=tolerance: custom_fixed_point(T, Picard(tolerance=t))(torch.zeros(12), a)))
        counts.append(len(calls))
    assert counts[1] > 5 * counts[0]
    assert kept[1] == kept[0] > 0
    assert kept_bytes(lambda: unrolled(100)) >= 9 * kept_bytes(lambda: unrolled(10))


def test_a_preconditioner_saves_iterations_and_leaves_the_solution():
    scales, calls = 10.0 ** torch.linspace(-2, 2, 60), []
    core = positive_definite(60)
    matrix = scales[:, None] * core * scales

    def product(x, matrix):
        calls.append(1)
        return matrix @ x

    b, counts, gradients = torch.randn(60), [], []
    for preconditioner in (None, lambda r: r / matrix.diagonal()):
        calls.clear()
        solver = CG(preconditioner=preconditioner, max_iterations=5000)
        gradients.append(grad(lambda m, s=solver: linear_solve(product, b, m, solver=s).sum())(matrix))
        counts.append(len(calls))
    assert counts[1] < counts[0] / 5
    assert torch.allclose(*gradients, rtol=1e-5, atol=1e-6 * float(gradients[0].abs().max()))


@pytest.mark.parametrize("solver", [GMRES, BiCGSTAB], ids=name)
def test_the_adjoint_uses_the_preconditioner_s_transpose(solver):
    """A preconditioner that inverts A makes one step enough, in the adjoint too; another's transpose would not."""
    matrix = torch.randn(40, 40) + 8 * torch.eye(40)
    inverse, calls = torch.linalg.inv(matrix), []
    b = torch.randn(40, requires_grad=True)
    x = linear_solve(matrix, b, solver=solver(preconditioner=lambda r: inverse @ r, max_iterations=3))
    v = torch.randn(40)
    (found,) = torch.autograd.grad(x @ v, b)
    assert not calls and torch.allclose(found, torch.linalg.solve(matrix.T, v), rtol=1e-8)


def test_a_warm_start_saves_iterations():
    matrix, b, calls = positive_definite(60), torch.randn(60), []

    def product(x):
        calls.append(1)
        return matrix @ x

    solution = linear_solve(product, b)
    cold = len(calls)
    calls.clear()
    warm = linear_solve(product, b * 1.0001, start=solution)
    assert len(calls) < cold * 0.75 and torch.allclose(warm, 1.0001 * solution)


def test_the_start_gets_no_gradient():
    start, a = torch.ones(2, requires_grad=True), torch.tensor([2.0, 3.0], requires_grad=True)
    custom_root(lambda x, a: x**3 - a)(start, a).sum().backward()
    assert start.grad is None and a.grad.isfinite().all()


def test_a_solver_of_one_s_own_is_checked_and_differentiated():
    def descent(F, x):
        for _ in range(400):
            x = x - 0.02 * F(x)
        return x

    ridge = Ridge()
    solve = custom_root(ridge.gradient, Given(descent, tolerance=1e-6), CG())
    slope = jacrev(lambda p: solve(torch.zeros(8), p))(torch.tensor(0.7))
    assert torch.allclose(slope, ridge.slope(torch.tensor(0.7)), rtol=0, atol=1e-6)
    with pytest.raises(ConvergenceError, match="as `function` returned it"):
        custom_root(ridge.gradient, Given(lambda F, x: x))(torch.zeros(8), torch.tensor(0.7))


@pytest.mark.parametrize(
    "solver", [Newton(max_iterations=2), Picard(max_iterations=5), Anderson(max_iterations=3)], ids=name
)
def test_an_unconverged_solution_raises_with_residual_iterations_and_remedy(solver):
    W, a = contraction()
    with pytest.raises(
        ConvergenceError, match=r"expected a residual of at most 1e-10, got .* iterations .*; .*max_iter"
    ) as info:
        custom_fixed_point(lambda x, a: torch.tanh(W @ x) + a, solver)(torch.zeros(12), 3 * a)
    assert info.value.residual > info.value.tolerance and info.value.iterations == solver.max_iterations


def test_a_divergent_iteration_raises():
    with pytest.raises(ConvergenceError, match="diverges"):
        custom_fixed_point(lambda x: 2 * x**2 + 1, Picard())(torch.ones(3))


def test_a_root_that_does_not_exist_raises():
    with pytest.raises(ConvergenceError):
        custom_root(lambda x: x**2 + 1.0)(torch.ones(1))


@pytest.mark.parametrize("solver", KRYLOV, ids=name)
def test_an_unconverged_linear_solve_raises_in_either_direction(solver):
    short = type(solver)(max_iterations=2)
    matrix = positive_definite(40) * torch.logspace(-2, 2, 40) * torch.logspace(-2, 2, 40)[:, None]
    with pytest.raises(ConvergenceError, match=f"{type(solver).__name__}: expected a residual of at most 1e-10, got"):
        linear_solve(matrix, torch.ones(40), solver=short)
    a = torch.ones(40, requires_grad=True)
    x = custom_root(lambda x, a: matrix @ x - a, Given(lambda F, x: torch.linalg.solve(matrix, a)), short)(a, a)
    with pytest.raises(ConvergenceError):
        x.sum().backward()


@pytest.mark.parametrize("solver", ALL, ids=name)
def test_a_singular_system_raises(solver):
    matrix = torch.diag(torch.tensor([1.0, 2.0, 0.0]))
    with pytest.raises(ConvergenceError):
        linear_solve(matrix, torch.ones(3), solver=solver)


@pytest.mark.parametrize("solver", ALL, ids=name)
def test_what_is_not_finite_is_named(solver):
    for matrix, b in ((torch.eye(2), torch.tensor([1.0, torch.nan])), (torch.eye(2) * torch.nan, torch.ones(2))):
        with pytest.raises(ConvergenceError, match="not finite"):
            linear_solve(matrix, b, solver=solver)


def test_dense_lu_says_that_a_solvable_singular_system_is_singular():
    matrix = torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    with pytest.raises(ConvergenceError, match="singular"):
        linear_solve(matrix, torch.tensor([1.0, -1.0]), solver=DenseLU())


def test_conjugate_gradients_refuse_an_indefinite_system():
    with pytest.raises(ConvergenceError, match="not positive definite.*GMRES"):
        linear_solve(torch.diag(torch.tensor([1.0, -2.0])), torch.ones(2), solver=CG())


def test_single_precision_converges_and_differentiates():
    matrix, b = positive_definite(20).float(), torch.randn(20).float().requires_grad_()
    for solver in ALL:
        (found,) = torch.autograd.grad(linear_solve(matrix, b, solver=solver).sum(), b)
        expected = torch.linalg.solve(matrix, torch.ones(20).float())
        assert found.dtype == torch.float32 and torch.allclose(found, expected, rtol=1e-3, atol=1e-4)


HIDING = {
    "reverse": lambda f, w: f(w.clone().requires_grad_()),
    "grad": lambda f, w: grad(lambda w: f(w).sum())(w),
    "nested grad": lambda f, w: grad(lambda w: grad(lambda a: (a * f(w)).sum())(w).sum())(w),
    "jvp": lambda f, w: jvp(f, (w,), (w,)),
    "grad in jvp": lambda f, w: jvp(lambda w: grad(lambda a: (a * f(w)).sum())(w), (w,), (w,)),
    "jvp in grad": lambda f, w: grad(lambda w: jvp(lambda a: a * f(w), (w,), (w,))[1].sum())(w),
    "vmap": lambda f, w: vmap(f)(w.expand(2, 3)),
}


@pytest.mark.parametrize("transform", HIDING)
def test_a_tensor_that_the_function_holds_is_refused_since_its_gradient_would_be_lost(transform):
    w = torch.tensor([2.0, 3.0, 4.0])
    for hidden in (
        lambda w: custom_root(lambda x: x**3 - w)(torch.ones(3)),
        lambda w: custom_fixed_point(lambda x: torch.tanh(x) / 2 + w)(torch.ones(3)),
        lambda w: linear_solve(lambda x: w * x, torch.ones(3)),
    ):
        with pytest.raises(InputError, match="pass that tensor as a parameter"):
            HIDING[transform](hidden, w)


def test_a_module_s_weights_are_parameters():
    network = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh())
    with torch.no_grad():
        network[0].weight.mul_(0.5)
    layer = custom_fixed_point(lambda z, x, weights: functional_call(network, weights, (z,)) + x, batch_dims=1)
    x = torch.randn(5, 4)
    layer(torch.zeros(5, 4), x, dict(network.named_parameters())).sum().backward()
    assert all(p.grad.abs().max() > 0 for p in network.parameters())
    with pytest.raises(InputError, match="functional_call"):
        custom_fixed_point(lambda z, x: network(z) + x, batch_dims=1)(torch.zeros(5, 4), x)


class Once(torch.autograd.Function):
    """x^3 / 10, whose gradient is not differentiable, as that of a simulation."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3 / 10

    @staticmethod
    @once_differentiable
    def backward(ctx, g):
        return 0.3 * ctx.saved_tensors[0] ** 2 * g


def test_a_function_that_is_differentiable_once_gives_first_derivatives_and_refuses_what_it_cannot():
    """Torch would leave its part out of second derivatives, and of Newton's steps, without a word."""
    a = torch.tensor([0.3, 0.5], requires_grad=True)
    solve = lambda solver: custom_fixed_point(lambda x, a: Once.apply(x) + 0.1 * x + a, solver)(torch.zeros(2), a)  # noqa: E731
    x = solve(Anderson())
    (found,) = torch.autograd.grad(x.sum(), a, retain_graph=True)
    assert torch.allclose(found, 1 / (1 - 0.1 - 0.3 * x.detach() ** 2))
    (again,) = torch.autograd.grad(x.sum(), a, create_graph=True)
    for refused in (lambda: torch.autograd.grad(again.sum(), a), lambda: solve(Newton())):
        with pytest.raises(InputError, match="differentiates twice.*Anderson"):
            refused()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: custom_root(lambda x: x, solver="newton"), "as solver, got 'newton'"),
        (lambda: custom_root(lambda x: x, linear_solver=Newton()), "for linear systems"),
        (lambda: linear_solve(torch.eye(2), torch.ones(2), solver=Newton()), "for linear systems"),
        (lambda: torch.inference_mode()(lambda: custom_root(lambda x: x)(torch.ones(3)))(), "inference_mode"),
        (lambda: custom_root(lambda x: x[:2])(torch.ones(3)), "one equation for each unknown"),
        (lambda: custom_root(lambda x: x)(torch.ones(3, dtype=torch.int64)), "real floating tensors, got torch.int64"),
        (lambda: custom_root(lambda x: x)(torch.ones(3, dtype=torch.complex128)), "view_as_real"),
        (lambda: custom_root(lambda x: x)((torch.ones(3), torch.ones(2).float())), "one type"),
        (lambda: custom_root(lambda x: x, batch_dims=1)((torch.ones(3), torch.ones(2))), "same 1 leading axes"),
        (lambda: custom_fixed_point(lambda x: x[:2])(torch.ones(3)), "expected T to return shapes"),
        (lambda: linear_solve(torch.ones(2, 3), torch.ones(3)), r"\[..., n, n\]"),
        (lambda: linear_solve(torch.eye(3), torch.ones(3), start=torch.ones(2)), "shaped like the unknowns"),
        (lambda: CG(tolerance=-1.0), "positive number"),
        (lambda: GMRES(restart=0), "restart >= 1"),
        (lambda: CG(max_iterations=0), "max_iterations >= 1"),
        (lambda: NormalCG(preconditioner=lambda r: r), "no preconditioner"),
        (lambda: Picard(damping=0.0), "positive number"),
        (lambda: Anderson(memory=-1), "memory"),
        (lambda: Newton(max_iterations=0), "max_iterations >= 1"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_sentence(call, words):
    with pytest.raises(InputError, match=words):
        call()
