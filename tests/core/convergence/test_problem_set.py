"""The problems of one process share grids and coefficients, and differ in their data."""

import torch

from sgmkit.convergence.problem_set import ProblemSet
from sgmkit.convergence.problems import mixture
from sgmkit.convergence.reference_processes import Decay


def test_problems_share_their_grids_and_differ_in_their_data():
    problems = ProblemSet(Decay(), mixture())
    assert [problem.event for problem in (problems.full, problems.line, problems.normal)] == [
        (2,),
        (1,),
        (1,),
    ]
    assert torch.equal(problems.line.law.means[:, 0].sort().values, tensor_of_first_means())
    assert len(problems.normal.law.means) == 1
    grid = problems.full.grid(8)
    assert torch.equal(problems.line.grid(8), grid)
    assert problems.normal._locals is problems.full._locals


def tensor_of_first_means():
    return mixture().means[:, 0].sort().values
