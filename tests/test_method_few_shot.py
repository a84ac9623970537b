"""A method to come: few-shot identification over many tasks, whose common prior is learned, within one true budget."""

import torch
from torch.distributions import Independent, Normal

from pliant.learn import LBFGS, Budget, MaximumAPosteriori, Meter, Problem, Unknown, solve

TASKS, NOISE, ROUNDS, BUDGET = 24, 0.1, 3, 24 * 3 * 2 * 10
TIMES = torch.tensor([0.4, 1.0], dtype=torch.float64)


class Task:
    """A body slowed by drag, x = v (1 - exp(-k t)) / k, seen twice with noise; the family's log k and v are Gaussian."""

    def __init__(self, rng: torch.Generator):
        self.truth = torch.tensor([0.5, 2.0]) + torch.tensor([0.4, 0.3]) * torch.randn(
            2, generator=rng, dtype=torch.float64
        )
        noise = NOISE * torch.randn(len(TIMES), generator=rng, dtype=torch.float64)
        self.seen, self.runs = self.position(self.truth) + noise, 0

    def position(self, theta: torch.Tensor) -> torch.Tensor:
        k = theta[..., :1].exp()
        return theta[..., 1:] * (1.0 - (-k * TIMES).exp()) / k

    def loss(self, values) -> torch.Tensor:
        self.runs += 1
        return ((self.position(values["motion"]) - self.seen) / NOISE).square().sum(-1) / 2.0

    def problem(self, mean: torch.Tensor, std: torch.Tensor) -> Problem:
        prior = Independent(Normal(mean, std), 1)
        unknown = Unknown(name="motion", initial=torch.tensor([0.0, 1.0], dtype=torch.float64), prior=prior)
        return MaximumAPosteriori(Problem.from_loss(self.loss, [unknown]))


def learn_family(tasks: list[Task], rounds: int, budget: int) -> tuple[list[torch.Tensor], Meter]:
    """Adapt every task to its data and the prior, then the prior to what was found: normal with inverse-gamma variances."""
    mean, std = torch.tensor([0.0, 1.0], dtype=torch.float64), torch.tensor([2.0, 2.0], dtype=torch.float64)
    found = [mean] * len(tasks)
    with Meter(simulator_calls=budget) as meter:
        for _ in range(rounds):
            for index, task in enumerate(tasks):
                problem = task.problem(mean, std)
                found[index] = solve(problem, LBFGS(), Budget(iterations=10), index, start=found[index]).theta
            mean, square = torch.stack(found).mean(0), torch.stack(found).var(0)
            std = ((len(tasks) * square + 8.0 * 0.3**2) / (len(tasks) + 8.0)).sqrt()
    return found, meter


def test_tasks_that_share_a_learned_prior_are_known_better_within_one_budget():
    rng = torch.Generator().manual_seed(0)
    tasks = [Task(rng) for _ in range(TASKS)]
    found, meter = learn_family(tasks, ROUNDS, BUDGET)
    assert meter.calls == 2 * sum(task.runs for task in tasks) <= BUDGET  # a forward and a backward for each run
    shared = sum(float((f - t.truth).square().sum()) for f, t in zip(found, tasks, strict=True)) / TASKS
    alone, _ = learn_family(tasks, 1, BUDGET)
    single = sum(float((f - t.truth).square().sum()) for f, t in zip(alone, tasks, strict=True)) / TASKS
    assert shared < 0.6 * single
    before = sum(task.runs for task in tasks)
    _, small = learn_family(tasks, ROUNDS, 101)
    assert small.calls == 2 * (sum(task.runs for task in tasks) - before) and 100 <= small.calls <= 101
