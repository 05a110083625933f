# SPDX-License-Identifier: MIT
"""Weights and inputs as a formula, so that fixtures need not hold them.

Every number is an integer times a power of two with at most 24 significant bits: float32 and float64 agree exactly,
and so does the C++ twin, golden_weights.hpp. Change both or neither: every fixture depends on them.
"""

import numpy as np

VERSION = "1"

_GOLDEN_RATIO = np.uint64(0x9E3779B97F4A7C15)


def fnv1a64(text: str) -> int:
    state = 0xCBF29CE484222325
    for byte in text.encode():
        state = (state ^ byte) * 0x100000001B3 % 2**64
    return state


def words(key: str, count: int) -> np.ndarray:
    """The first `count` outputs of SplitMix64 seeded with the FNV-1a hash of the key, as uint64."""
    with np.errstate(over="ignore"):
        z = np.uint64(fnv1a64(key)) + np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN_RATIO
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def bells(key: str, count: int) -> np.ndarray:
    """Integers in [-131070, 131070], bell-shaped: the four 16-bit fields of a word added and centred.

    The standard deviation is 65536 / sqrt(3) = 37837.
    """
    w = words(key, count)
    fields = sum((w >> np.uint64(shift)) & np.uint64(0xFFFF) for shift in (0, 16, 32, 48))
    return fields.astype(np.int64) - 131070


def linear(key: str, count: int) -> np.ndarray:
    """Entries of matrices and of linear biases: deviation 0.298."""
    return bells(key, count) * (33 * 2.0**-22)


def gain(key: str, count: int) -> np.ndarray:
    """Norm gains: mean 1, deviation 0.198. Gains of 1 would hide a forgotten or misplaced gain."""
    return 1.0 + bells(key, count) * (11 * 2.0**-21)


def router_bias(key: str, count: int, mean: float) -> np.ndarray:
    """e_score_correction_bias: deviation 0.099. `mean` is 0, or -77/128 to make most selection scores negative."""
    return mean + bells(key, count) * (11 * 2.0**-22)


def unit(key: str, *shape: int) -> np.ndarray:
    """Activations and their gradients: deviation 1.01."""
    return (bells(key, int(np.prod(shape))) * (7 * 2.0**-18)).reshape(shape)


def probe(key: str, count: int) -> np.ndarray:
    """Weights of a projection: either sign, magnitude in [0.5, 1), so that no entry of a matrix is overlooked."""
    w = words(key, count)
    magnitude = (128 + ((w >> np.uint64(32)) & np.uint64(0x7F)).astype(np.float64)) / 256
    return np.where(w >> np.uint64(63), -magnitude, magnitude)


def tokens(key: str, vocabulary: int, *shape: int) -> np.ndarray:
    return (words(key, int(np.prod(shape))) % np.uint64(vocabulary)).astype(np.int64).reshape(shape)


def weight(name: str, shape, bias_set: int = 0) -> np.ndarray:
    """The tensor that Hugging Face files call `name`. bias_set 0 or 1 selects among the two sets of router biases."""
    count = int(np.prod(shape))
    if name.endswith("e_score_correction_bias"):
        values = router_bias(f"{name}#{bias_set}", count, (0.0, -77 / 128)[bias_set])
    elif name.endswith("norm.weight"):
        values = gain(name, count)
    else:
        values = linear(name, count)
    return values.reshape(tuple(shape))


def sketch(matrix: np.ndarray) -> np.ndarray:
    """A matrix G [R, C] in R + C + 1 numbers: G u, then v^T G, then the Frobenius norm.

    u = probe("probe.columns") [C] and v = probe("probe.rows") [R]. An error in any entry changes one number of each
    of the first two parts by at least half its size.
    """
    rows, columns = matrix.shape
    return np.concatenate(
        [matrix @ probe("probe.columns", columns), probe("probe.rows", rows) @ matrix, [np.linalg.norm(matrix)]]
    )
