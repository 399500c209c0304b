"""Random numbers that do not depend on how many samples are taken at a time."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

SEED = 20_240_229
PIECE = 1 << 18  # words that are skipped at a time
NUMBERS = 4  # in a word: 16 bits each, enough for the size of an error, take a fifth of the time of `random`

Place: TypeAlias = tuple[int, ...]
_Integers: TypeAlias = npt.NDArray[np.int16]


class Draws:
    """One stream of integers in [-2^15, 2^15), in which each place of an evaluation has a stretch for all its
    samples, in the order in which the places are met."""

    def __init__(self, total: int) -> None:
        self.total, self.bits, self._spare = total, np.random.SFC64(SEED), np.random.SFC64(SEED)
        self._next: dict[Place, Any] = {}  # the state of the generator

    def all(self, size: int) -> _Integers:
        """The samples of the next place, `size` numbers each."""
        return _taken(self.bits, self.total, size)

    def some(self, place: Place, samples: int, size: int) -> _Integers:
        """The next samples of a place: a multiple of `NUMBERS`, or the last ones. Of none, the stretch is
        reserved."""
        if place not in self._next:
            self._next[place] = self.bits.state
            words = -(-self.total * size // NUMBERS)
            for done in range(0, words, PIECE):
                self.bits.random_raw(min(PIECE, words - done), output=False)
        self._spare.state = self._next[place]
        integers = _taken(self._spare, samples, size)
        self._next[place] = self._spare.state
        return integers


def _taken(bits: np.random.SFC64, samples: int, size: int) -> _Integers:
    words: npt.NDArray[np.uint64] = bits.random_raw(-(-samples * size // NUMBERS))
    return words.view(np.int16)[: samples * size].reshape(samples, size)
