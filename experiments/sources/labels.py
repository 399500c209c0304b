"""Which class is learnt against which: labels, whatever they are, become 0 and 1."""

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import numpy as np

from experiments.sentences import LONGEST, nearest, shown
from experiments.source import Label, Source
from experiments.sources.raw import DataError, Raw
from sandbox.typing import Array

MOST_SHOWN = 8
TRUTH = {"false": 0, "true": 1}  # as pandas writes them in CSV files


@dataclass(frozen=True)
class Classes:
    """Y: (m,) of 0 and 1, of the examples that are of a class. kept: (all examples,), which these are."""

    Y: Array
    kept: Array
    words: str


def labels_of(array: Array, m: int, name: str) -> Array:
    """The labels of m examples as (m,), whether they came as a column, a row or neither."""
    if array.size != m or max(array.shape) != m:
        raise DataError(f"data: {name} has shape {array.shape}, expected ({m},): one label for each example.")
    labels = array.reshape(m)
    strange = [label for label in labels.tolist() if not isinstance(label, str | int | float | None)]
    if strange:
        raise DataError(f"data: {name} holds {shown(strange[0])}, expected labels that are text or numbers.")
    missing = np.array([_is_missing(label) for label in labels.tolist()])
    if missing.any():
        raise DataError(
            f"data: {name} holds no label (nothing, NaN or infinity) for {missing.sum()} of {m} examples, "
            f"the first of them number {missing.argmax() + 1}; remove those examples."
        )
    return labels


def classes(raw: Raw, source: Source, chosen: Callable[[Label], bool] | None = None) -> Classes:
    """The classes 1 and 0 that `source` asks for.

    Args:
        chosen: which labels are of class 1, where nothing is asked for.
    """
    values, place = np.unique(raw.labels, return_inverse=True)
    keys = [_key(value) for value in values.tolist()]
    present = sorted(set(keys), key=_order)
    positive, negative = _asked(source, raw.name, present, chosen)
    of_class = np.array([1 if key in positive else 0 if key in negative else -1 for key in keys])
    labels = of_class[place.reshape(-1)]
    kept = labels >= 0
    words = (
        f"class 1: {_listed(sorted(positive, key=_order))}; class 0: {_listed(sorted(negative, key=_order))}"
    )
    return Classes(labels[kept].astype(float), kept, words)


def _asked(
    source: Source, name: str, present: list[Label], chosen: Callable[[Label], bool] | None
) -> tuple[set[Label], set[Label]]:
    positive, negative = (
        _found(field, given, name, present)
        for field, given in (("positive", source.positive), ("negative", source.negative))
    )
    if both := positive & negative:
        label = shown(min(both, key=_order))
        raise DataError(f"negative: got {label}, which is in positive, too; expected it in one of them.")
    if len(present) == 1:
        raise DataError(f"data: {name} holds {shown(present[0])} alone; expected examples of two classes.")
    if not (positive or negative):
        positive = {label for label in present if chosen(label)} if chosen else _later(name, present)
    positive, negative = positive or {*present} - negative, negative or {*present} - positive
    if not (positive and negative):
        full, empty = ("positive", "negative") if positive else ("negative", "positive")
        raise DataError(
            f"{full}: got every label of {name}, so that none is left for {empty}; expected two classes. "
            f"Labels are {_listed(present)}."
        )
    return positive, negative


def _found(field: str, given: Iterable[Label], name: str, present: Collection[Label]) -> set[Label]:
    """The labels that are given, as they are in the data."""
    found = set()
    for label in given:
        if (key := _key(label)) not in present:
            like = nearest(label, (each for each in present if isinstance(each, str)))
            raise DataError(
                f"{field}: got {shown(label)}, which is no label of {name}{like}; expected some of "
                f"{_listed(present)}."
            )
        found.add(key)
    return found


def _later(name: str, present: list[Label]) -> set[Label]:
    """Of two labels the larger number, or the later in the alphabet."""
    if len(present) > 2:
        raise DataError(
            f"positive: {name} holds {len(present)} labels, {_listed(present)}; say which are class 1: "
            f"positive = [{shown(present[-1])}], or --positive {_plain(present[-1])}."
        )
    return {present[-1]}


def _listed(labels: Collection[Label]) -> str:
    first = ", ".join(shown(label) for label in list(labels)[:MOST_SHOWN])
    return first + (f", ... ({len(labels)} in all)" if len(labels) > MOST_SHOWN else "")


def _plain(label: Label) -> str:
    """As it would be written on the command line."""
    is_word = not isinstance(label, str) or (label.isidentifier() and len(label) < LONGEST)
    return str(label) if is_word else shown(label)


def _is_missing(label: Label | None) -> bool:
    if isinstance(label, str):
        return label.strip().casefold() in ("", "nan")
    return label is None or not math.isfinite(label)


def _order(label: Label) -> tuple[bool, float, str]:
    """Numbers by size, then text by alphabet."""
    return (True, 0.0, label) if isinstance(label, str) else (False, label, "")


def _key(label: Label) -> Label:
    """Equal for labels that are the same to a reader: 1, 1.0, "1", True and "true"."""
    if not isinstance(label, str):
        return int(label) if label == int(label) else label
    text = label.strip()
    if (truth := TRUTH.get(text.casefold())) is not None:
        return truth
    for number in (int, float):
        try:
            value: int | float = number(text)
        except ValueError:
            continue
        return _key(value) if math.isfinite(value) and "_" not in text else text
    return text
