"""Samples in the hands of other programs: GetDist and ArviZ read what was written, and say what we say."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from cosmokeras.common.errors import UserError
from cosmokeras.dataset.observed import observed
from cosmokeras.dataset.shards import Split
from cosmokeras.inference import chains
from cosmokeras.inference.chains import Chain, map_chains
from cosmokeras.inference.estimator import Estimator
from cosmokeras.observation.ops.forward import Forward

needs_getdist = pytest.mark.skipif(find_spec("getdist") is None, reason="getdist is not installed")
needs_arviz = pytest.mark.skipif(find_spec("arviz") is None, reason="arviz is not installed")
BOUNDS = np.array([[0.1, 0.5], [0.6, 1.0]])


@pytest.fixture(scope="module")
def pair() -> Chain:
    """A correlated Gaussian of omega_m and sigma8, and its density, cut off at an edge of the prior."""
    rng = np.random.default_rng(1)
    covariance = np.array([[0.02**2, -0.0004], [-0.0004, 0.04**2]])
    samples = rng.multivariate_normal([0.3, 0.97], covariance, 40_000)
    samples = samples[samples[:, 1] < 1.0]
    left = samples - [0.3, 0.97]
    density = -0.5 * np.einsum("ni,ij,nj->n", left, np.linalg.inv(covariance), left)
    return Chain(("omega_m", "sigma8"), BOUNDS, samples, density, normalised=False)


def test_files_are_text_of_weights_densities_and_parameters(pair: Chain, tmp_path: Path) -> None:
    pair.write(tmp_path / "new" / "run.2")
    assert {path.name for path in (tmp_path / "new").iterdir()} == {"run.2.txt", "run.2.paramnames", "run.2.ranges"}
    table = np.loadtxt(tmp_path / "new" / "run.2.txt")
    assert (table[:, 0] == 1).all()
    assert table[:, 1] == pytest.approx(-pair.log_posterior, rel=1e-6, abs=1e-6)
    assert table[:, 2:4] == pytest.approx(pair.samples, rel=1e-6)
    assert table[:, 4] == pytest.approx(pair.samples[:, 1] * np.sqrt(pair.samples[:, 0] / 0.3), rel=1e-6)
    names = (tmp_path / "new" / "run.2.paramnames").read_text()
    assert names == "omega_m\t\\Omega_m\nsigma8\t\\sigma_8\nS8*\tS_8\n"
    assert (tmp_path / "new" / "run.2.ranges").read_text() == "omega_m\t0.1\t0.5\nsigma8\t0.6\t1\n"


@needs_getdist
def test_getdist_reads_means_limits_and_edges(pair: Chain, tmp_path: Path) -> None:
    import getdist

    pair.write(tmp_path / "run")
    for read in (getdist.loadMCSamples(str(tmp_path / "run")), pair.to_getdist()):
        assert read.getMeans()[:2] == pytest.approx(pair.samples.mean(axis=0), rel=1e-5)
        assert [one.name for one in read.paramNames.names] == ["omega_m", "sigma8", "S8"]
        assert read.paramNames.parWithName("S8").isDerived
        found = read.getMargeStats().parWithName("omega_m")
        assert [found.limits[0].lower, found.limits[0].upper] == pytest.approx(
            np.quantile(pair.samples[:, 0], [0.16, 0.84]), abs=0.0005
        )
        # the prior ends at sigma8 = 1, where samples are most: density is not smoothed away there
        density = read.get1DDensity("sigma8")
        assert density.Prob(1.0) > 0.6 * density.Prob(0.97)
        best = np.argmin(read.loglikes)
        assert read.samples[best][:2] == pytest.approx(pair.samples[np.argmax(pair.log_posterior)], rel=1e-5)


@needs_arviz
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_arviz_has_the_same_numbers_after_a_round_by_netcdf(pair: Chain, tmp_path: Path) -> None:
    import arviz

    pair.to_arviz().to_netcdf(str(tmp_path / "run.nc"))
    read = arviz.from_netcdf(str(tmp_path / "run.nc"))
    table = arviz.summary(read, kind="stats", hdi_prob=0.68, round_to="none")
    assert list(table.index) == ["omega_m", "sigma8", "S8"]
    assert table["mean"]["omega_m"] == pytest.approx(pair.samples[:, 0].mean(), rel=1e-9)
    width = np.subtract(*np.quantile(pair.samples[:, 0], [0.84, 0.16]))
    assert table["hdi_84%"]["omega_m"] - table["hdi_16%"]["omega_m"] == pytest.approx(width, rel=0.03)
    assert read.sample_stats["lp"].values[0] == pytest.approx(pair.log_posterior)


@pytest.mark.slow
def test_chains_of_an_estimator_are_its_posteriors(estimator: Estimator, splits: dict[str, Split]) -> None:
    obs = observed(splits["test"], Forward(estimator.cfg), 5)[:6]
    each = map_chains(estimator, obs, 300, seed=3)
    assert len(each) == 6
    assert np.array_equal(np.array([one.samples for one in each]), estimator.sample(obs, 300, seed=3))
    assert each[2].log_posterior[7] == pytest.approx(estimator.log_prob(obs[2:3], each[2].samples[7:8])[0])
    alone = estimator.chain(obs[:1], 300, seed=3)
    assert np.array_equal(alone.samples, estimator.sample(obs[:1], 300, seed=3)[0]) and alone.normalised
    together = estimator.chain(obs, 300, seed=3)
    assert np.array_equal(together.samples, estimator.combine(obs, 300, seed=3))
    # importance samples lie where the density is: its mean over them is above that of the prior by far
    prior = estimator.response.log_likelihood(  # type: ignore[union-attr]
        estimator.mean(obs).mean(axis=0), 6, np.linspace(*estimator.bounds[0], 100)[:, None]
    )
    assert together.log_posterior.mean() > prior.mean() + 1
    assert together.log_posterior.max() <= prior.max() + 0.1


def test_a_library_that_is_not_there_is_named(pair: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "getdist", None)
    with pytest.raises(UserError, match=r"^getdist is not installed: pip install 'cosmokeras\[chains\]'$"):
        pair.to_getdist()
    assert chains.tex("a_ia") == r"\mathrm{a\_ia}"
