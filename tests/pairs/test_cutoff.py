import logging
import math

import networkx as nx
import pytest
import torch

from gradformer_dgl import ExponentialDecay, SparsePairDistances, cutoff_for
from gradformer_dgl.nn.decay import Decay, NoDecay
from gradformer_dgl.pairs.cutoff import CutoffWatch, cutoff_error, far_factor
from gradformer_dgl.preprocess import preprocess_graphs
from gradformer_dgl.support.errors import ConfigError


@pytest.mark.parametrize("gamma", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("hops", [[0.0, 0.0], [5.0, 2.5], [-1.0, 3.0]])
@pytest.mark.parametrize("slope", [0.0, 0.2])
@pytest.mark.parametrize("tolerance", [0.2, 0.001])
def test_cutoff_is_the_smallest_that_keeps_the_bound(gamma, hops, slope, tolerance):
    decay = ExponentialDecay(2, gamma=gamma, hop=hops, slope=slope)

    def factor(distance):
        beyond = [distance - tau for tau in hops]
        return max(gamma ** (x if x > 0 else slope * x) for x in beyond)

    cutoff = cutoff_for(decay, tolerance, max_logit=4.0)
    assert far_factor(decay, cutoff) == pytest.approx(factor(cutoff + 1), rel=1e-5)
    assert math.tanh(2.0 * factor(cutoff + 1)) <= tolerance
    assert cutoff == 1 or math.tanh(2.0 * factor(cutoff)) > tolerance
    assert cutoff_error(decay, cutoff, 4.0) == pytest.approx(math.tanh(2.0 * factor(cutoff + 1)), rel=1e-5)


def test_a_decay_that_rises_again_is_followed_to_its_end():
    class Bump(Decay):
        def table(self, num_distances):
            row = torch.zeros(num_distances + 1)
            row[0] = row[9] = 1
            return row[None]

    assert cutoff_for(Bump(1), 0.01) == 9
    assert cutoff_error(Bump(1), 8) == pytest.approx(math.tanh(2.5))


def test_cutoffs_that_there_are_not():
    with pytest.raises(ConfigError, match=r"no cut-off of up to 254 hops .* still have the factor 0.77"):
        cutoff_for(ExponentialDecay(1, gamma=0.999, hop=0.0), 0.01)
    with pytest.raises(ConfigError, match="not 0 for unreachable"):
        cutoff_for(NoDecay(1), 0.01)
    with pytest.raises(ConfigError, match="tolerance must be above 0"):
        cutoff_for(ExponentialDecay(1), 0.0)
    with pytest.raises(ConfigError, match="max_logit must be 0 or more"):
        cutoff_error(ExponentialDecay(1), 3, max_logit=-1.0)
    for bound in (-1.0, math.inf, math.nan):
        with pytest.raises(ConfigError, match="max_logit must be 0 or more, and finite"):
            cutoff_for(ExponentialDecay(1), 0.01, max_logit=bound)
    for cutoff in (-1, 255):
        with pytest.raises(ConfigError, match="must be between 0 and 254 hops"):
            cutoff_error(ExponentialDecay(1), cutoff)


def test_pairs_beyond_the_largest_cutoff_are_not_forgotten():
    assert cutoff_error(ExponentialDecay(1, gamma=1.0), 254, 2.0) == pytest.approx(math.tanh(1.0))
    decay = ExponentialDecay(1, gamma=0.5, hop=248.0)
    assert far_factor(decay, 254) == pytest.approx(0.5**7)
    assert cutoff_for(decay, math.tanh(0.5**7), max_logit=2.0) == 254
    with pytest.raises(ConfigError, match=r"no cut-off .* still have the factor 0.0078"):
        cutoff_for(decay, math.tanh(0.5**7) * 0.999, max_logit=2.0)


def test_a_decay_that_is_not_a_number_is_told(caplog):
    decay = ExponentialDecay(1)
    decay.tau.data.fill_(math.nan)
    with pytest.raises(ConfigError, match="a factor of this decay is not a number"):
        cutoff_for(decay, 0.1)
    with caplog.at_level(logging.WARNING, logger="gradformer_dgl"):
        CutoffWatch(3).check(decay)
    assert "factors of up to nan" in caplog.text


def test_a_decay_that_outgrows_its_cutoff_is_told_once(caplog):
    decay = ExponentialDecay(2, gamma=0.5, hop=1.0)
    watch = CutoffWatch(cutoff_for(decay, 0.02), tolerance=0.02)
    with caplog.at_level(logging.WARNING, logger="gradformer_dgl"):
        assert watch.check(decay) <= 0.02
        assert not caplog.records
        with torch.no_grad():
            decay.tau[1] += 2
        error = watch.check(decay)
        assert error == pytest.approx(cutoff_error(decay, watch.max_distance))
        watch.check(decay)
    [record] = caplog.records
    message = record.getMessage()
    assert f"outgrown the cut-off of {watch.max_distance} hops" in message
    assert f"up to {100 * error:.1f} % of the range" in message
    assert f"a cut-off of {cutoff_for(decay, 0.02)} would keep it within 2 %" in message


def test_only_pairs_beyond_the_cutoff_are_watched():
    two_paths = nx.disjoint_union(nx.path_graph(5), nx.path_graph(4))
    assert CutoffWatch.of(SparsePairDistances.from_graph(two_paths, 3)).max_distance == 3
    # No two nodes of a part are five hops apart, those of different parts have no path.
    assert CutoffWatch.of(SparsePairDistances.from_graph(two_paths, 5)) is None
    assert CutoffWatch.of(SparsePairDistances.from_graph(nx.complete_graph(7), 1)) is None


def test_pairs_of_a_cache_without_a_cutoff_are_not_watched(tmp_path):
    graphs = [nx.disjoint_union(nx.path_graph(5), nx.path_graph(4))]
    cache = preprocess_graphs(graphs, tmp_path / "paths.h5", n_jobs=1)
    assert CutoffWatch.of(SparsePairDistances.from_cache(cache)) is None
