"""Does the memory of a gradient through a solution depend on how many iterations found it?

Method, baselines and scene: those of `implicit_time`. Aim: a tenth of what backpropagation through the iterations adds.
"""

import dataclasses

from benchmarks.case import Subject
from benchmarks.methods.implicit_time import held, peers_of, problem_of
from benchmarks.methods.method import Method, Outcome
from benchmarks.worker import prepared


def run(seed: int, quick: bool) -> Outcome:
    """Megabytes that a gradient adds to a process that has taken one of a tenth of the samples before, and loaded all it needs."""
    problem, peers = problem_of(seed, quick), peers_of(quick)
    added = {}
    for name, module in peers.items():
        with prepared(Subject(name=name, module=module), problem) as worker:
            worker.ask("prepare", problem=dataclasses.asdict(problem) | {"samples": problem.samples // 10})
            worker.ask("gradient")
            worker.ask("prepare", problem=dataclasses.asdict(problem))
            added[name] = worker.ask("gradient")["added_megabytes"]
    return Outcome(
        figure=added["pliant"],
        baselines={name: added[name] for name in peers if name != "pliant"},
        simulator_calls={"method" if name == "pliant" else name: problem.steps for name in peers},
    )


METHOD = Method(
    name="implicit_memory",
    question="Does the memory of a gradient through a solution depend on how many iterations found it?",
    method="`learn.constrain.custom_root` with `CG`",
    source="Blondel et al., Efficient and Modular Implicit Differentiation (2022).",
    scene="That of implicit_time: 2000 steps of gradient descent.",
    figure="megabytes that a gradient adds",
    aim_text="at most 0.1 times unrolled, every seed",
    quick_aim_text="at most 0.3 times unrolled",
    run=run,
    aim=lambda figures, baselines: held(figures, baselines, {"unrolled": 0.1}),
    note="The peak during the gradient over what the process held before; it had taken one with a tenth of the samples, and "
    "loaded all it needs. As first measured, in a fresh process, libraries made up the whole figure of the method (40 MB, red); "
    "then against the peak of the process's whole life, one seed of three was 20 MB and red, the others 0.",
    quick_aim=lambda figures, baselines: held(figures, baselines, {"unrolled": 0.3}),
)
