"""The equations, their reference values, and the gradient of the whole recursion against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special

from glassnet.errors import GlassnetError
from glassnet.gradcheck import central_differences
from glassnet.pde import EQUATIONS, get
from glassnet.pde.deep_bsde import Reference, Unknowns, value_and_grad
from glassnet.pde.equations import check, complete
from glassnet.pde.paths import Sampler


@pytest.mark.parametrize("name", EQUATIONS)
def test_every_equation_passes_its_checks(name):
    check(get(name))


@pytest.mark.parametrize("lam", [1, 10, 50])
def test_the_value_of_hjb_is_a_gamma_integral(lam):
    """E (1 + 2 S)^-lam = 1/Gamma(lam) int t^(lam-1) e^-t (1 + 4 t)^-50 dt: the integral over S is done by hand."""
    shift = 200.0 if lam == 50 else 4.5 * lam

    def integrand(y):
        return np.exp(lam * y - np.exp(y) - 50 * np.log1p(4 * np.exp(y)) - special.gammaln(lam) + shift)

    total = integrate.quad(integrand, -40, 10, epsabs=0, epsrel=1e-12, limit=1000, points=[-5, -3, 0, 2, 3])[0]
    expected = -(np.log(total) - shift + lam * np.log(2)) / lam
    assert EQUATIONS["hjb"](lam=lam).known == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_gradient_of_the_recursion_is_that_of_finite_differences(name):
    equation = get(name, dim=3, steps=4)
    unknowns = Unknowns(equation, hidden=(5, 4))
    theta = np.stack([unknowns.init(np.random.default_rng(k)) for k in range(2)])
    paths = Sampler(equation, [np.random.default_rng(k) for k in range(2)], 8).draw()

    def step(theta):
        return value_and_grad(unknowns, Reference(unknowns, 2), theta, unknowns.init_state(2), paths)

    computed = step(theta)
    ours = np.concatenate([computed.first, computed.networks.reshape(2, -1)], axis=1)
    measured = central_differences(lambda one: step(np.stack([one, theta[1]])).losses[0], theta[0])
    assert np.abs(ours[0] - measured).max() <= 1e-6 * np.abs(measured).max()


def test_a_wrong_derivative_and_a_wrong_shape_are_named():
    hjb = get("hjb", dim=4)
    with pytest.raises(GlassnetError, match="df_dz of hjb must be the derivative of f"):
        check(replace(hjb, df_dz=lambda t, x, u, z: z))
    with pytest.raises(GlassnetError, match="g of hjb must be numbers of shape"):
        check(replace(hjb, g=lambda x: x))
    with pytest.raises(GlassnetError, match="horizon of hjb must be a positive time"):
        replace(hjb, horizon=-1.0)


def test_missing_derivatives_are_measured_with_a_warning():
    with pytest.warns(UserWarning, match="finite differences call f 8 times"):
        whole = complete(replace(get("hjb", dim=4), df_dz=None))
    check(whole)
