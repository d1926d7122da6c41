"""Shapley value: a fair share of what players reach together."""

from collections.abc import Mapping
from math import factorial
from typing import Any


def shapley_values(worth: Mapping[frozenset[str], Any]) -> dict[str, Any]:
    """Return the exact Shapley value of each player (Shapley 1953).

    That of u, of M players, is the mean over the orders in which they may come of what u adds:
    sum over S without u of |S|! (M - |S| - 1)! / M! (worth(S and u) - worth(S)). The values add up to
    worth(all) - worth(none).

    Args:
        worth: Of every set of players, none included: numbers, arrays or tensors.
    """
    players = max(worth, key=len)
    count = len(players)
    weights = [factorial(s) * factorial(count - s - 1) / factorial(count) for s in range(count)]
    return {
        u: sum(weights[len(s)] * (worth[s | {u}] - v) for s, v in worth.items() if u not in s)
        for u in sorted(players)
    }
