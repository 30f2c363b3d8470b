"""Orders and moments as the suite measures them; what it must refuse is tested on mutants."""

from sgmkit import create
from sgmkit.testing.solver_accuracy import check_adaptive_order, check_moments, check_order


def test_the_order_of_heun_is_measured():
    assert check_order(create("solver", "heun")).startswith("declared 2, measured ")


def test_the_order_of_an_adaptive_solver_is_measured_against_its_calls():
    measured = check_adaptive_order(create("solver", "rk45"))
    assert "(error against calls)" in measured


def test_moments_of_a_stochastic_solver_are_measured():
    assert check_moments(create("solver", "ancestral"))
