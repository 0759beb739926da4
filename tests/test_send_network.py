"""The bad network: its rates, its order, and that it is the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from bridge.send.network import LONGEST_DELAY, BadNetwork


def _through(network: BadNetwork[int], count: int) -> list[int]:
    out = [number for datagram in range(count) for number in network.passed(datagram)]
    return out + network.rest()


def _network(loss: float = 0.0, reorder: float = 0.0, duplicate: float = 0.0, seed: int = 1) -> BadNetwork[int]:
    return BadNetwork(loss, reorder, duplicate, np.random.default_rng(seed))


def test_a_good_network_changes_nothing() -> None:
    assert _through(_network(), 500) == list(range(500))


def test_rates_are_as_told_and_counted() -> None:
    network = _network(0.1, 0.2, 0.3)
    out = _through(network, 20_000)
    stats = network.stats
    assert stats.taken == 20_000
    assert abs(stats.lost / 20_000 - 0.1) < 0.01
    assert abs(stats.reordered / 18_000 - 0.2) < 0.01
    assert abs(stats.duplicated / 18_000 - 0.3) < 0.01
    assert len(set(out)) == 20_000 - stats.lost
    assert len(out) == 20_000 - stats.lost + stats.duplicated


def test_everything_can_be_lost() -> None:
    assert _through(_network(loss=1.0, reorder=1.0, duplicate=1.0), 100) == []


def test_reordering_loses_nothing_and_is_bounded() -> None:
    network = _network(reorder=0.25)
    out = _through(network, 2_000)
    assert sorted(out) == list(range(2_000))
    assert out != list(range(2_000))
    assert max(abs(place - number) for place, number in enumerate(out)) <= 2 * LONGEST_DELAY
    overtaken = sum(number < max(out[: place + 1]) for place, number in enumerate(out))
    assert 0.5 * network.stats.reordered < overtaken <= network.stats.reordered


def test_the_same_seed_is_the_same_network() -> None:
    assert _through(_network(0.1, 0.1, 0.1, seed=4), 300) == _through(_network(0.1, 0.1, 0.1, seed=4), 300)
    assert _through(_network(0.1, 0.1, 0.1, seed=4), 300) != _through(_network(0.1, 0.1, 0.1, seed=5), 300)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_impossible_shares_are_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share from 0 to 1"):
        _network(reorder=share)
