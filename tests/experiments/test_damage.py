"""Claims about damaged and foreign files among the runs: named, set aside, never believed."""

from __future__ import annotations

import errno
import io
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from experiments.files import content_name
from experiments.points import Architecture, Origin, Point
from experiments.store import Store, StoreError
from sandbox.typing import Array
from tests.experiments.made import (
    ENVIRONMENT,
    ORIGIN,
    SMALL,
    TIMES,
    Told,
    contents,
    points,
    put,
    trained,
    verdict,
)

DEEP = Architecture(3, 2, "tanh", "mean_squared_error", "float32")


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path / "results")


def rewritten(change: Callable[[h5py.File], object]) -> Callable[[Path], Path]:
    """The group changed, in a file that is called as its new bytes ask for: a damage of the content alone."""

    def damage(file: Path) -> Path:
        content = io.BytesIO(file.read_bytes())
        file.unlink()
        with h5py.File(content, "r+") as opened:
            change(opened)
        file = file.with_name(f"{content_name(content.getvalue())}.h5")
        file.write_bytes(content.getvalue())
        return file

    return damage


def bytes_become(change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    def damage(file: Path) -> Path:
        file.write_bytes(change(file.read_bytes()))
        return file

    return damage


def value_becomes(name: str, index: object, value: object) -> Callable[[Path], Path]:
    def change(file: h5py.File) -> None:
        file[name][index] = value

    return rewritten(change)


def array_becomes(name: str, make: Callable[[Array], object]) -> Callable[[Path], Path]:
    def change(file: h5py.File) -> None:
        value = make(file[name][()])
        del file[name]
        file[name] = value

    return rewritten(change)


def attribute_becomes(name: str, value: object) -> Callable[[Path], Path]:
    return rewritten(lambda file: file.attrs.__setitem__(name, value))


def content_becomes(change: Callable[[Any], object]) -> Callable[[Path], Path]:
    return array_becomes("content", lambda text: json.dumps(change(json.loads(bytes(text)))))


def flipped(share: float) -> Callable[[Path], Path]:
    def flip(content: bytes) -> bytes:
        at = int(share * (len(content) - 1))
        return content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]

    return bytes_become(flip)


def other_hdf5(content: bytes) -> bytes:
    file = io.BytesIO()
    with h5py.File(file, "w") as opened:
        opened["cost_curve"] = np.zeros((6, 6))
    return file.getvalue()


def named_by_content(file: Path) -> Path:
    return file.rename(file.with_name(f"{content_name(file.read_bytes())}.h5"))


def in_its_place(make: Callable[[Path], object]) -> Callable[[Path], Path]:
    def damage(file: Path) -> Path:
        file.unlink()
        make(file)
        return file

    return damage


def a_folder(file: Path) -> None:
    file.mkdir()
    (file / "precious").write_text("data")


def verdict_as_group(file: Path) -> Path:
    store = Store(file.parents[3])
    made = store.write_verification(verdict(), ORIGIN)
    file.unlink()
    return made.rename(made.with_name(made.name.removeprefix("verified-")))


def of_another(of: list[Point], origin: Origin) -> Callable[[Path], Path]:
    """A good group, copied from where it belongs."""

    def damage(file: Path) -> Path:
        other = put(Store(file.parents[3]), of, origin)
        file.unlink()
        return other.rename(file.parent / other.name)

    return damage


DAMAGES: dict[str, Callable[[Path], Path]] = {
    "empty": bytes_become(lambda content: b""),
    "truncated by a byte": bytes_become(lambda content: content[:-1]),
    "truncated to half": bytes_become(lambda content: content[: len(content) // 2]),
    "truncated to the signature": bytes_become(lambda content: content[:8]),
    "without its beginning": bytes_become(lambda content: content[512:]),
    "a byte more": bytes_become(lambda content: content + b"\0"),
    "twice": bytes_become(lambda content: content * 2),
    "zeros": bytes_become(lambda content: bytes(len(content))),
    "the end zeros": bytes_become(lambda content: content[:2048] + bytes(len(content) - 2048)),
    "text": bytes_become(lambda content: b"hello"),
    "text of that name": lambda file: named_by_content(bytes_become(lambda content: b"hello")(file)),
    "empty, of that name": lambda file: named_by_content(bytes_become(lambda content: b"")(file)),
    "half, of that name": lambda file: named_by_content(bytes_become(lambda c: c[: len(c) // 2])(file)),
    "another program's": bytes_become(other_hdf5),
    "another program's, of that name": lambda file: named_by_content(bytes_become(other_hdf5)(file)),
    **{f"a byte flipped at {share}": flipped(share) for share in (0, 0.01, 0.2, 0.4, 0.6, 0.8, 1)},
    "copied under another name": lambda file: file.rename(file.with_name("copy.h5")),
    "copied from another architecture": of_another(points(DEEP), ORIGIN),
    "copied from other data": of_another(points(), replace(ORIGIN, data="e" * 64)),
    "copied from other code": of_another(points(), replace(ORIGIN, code="e" * 64)),
    "a folder": in_its_place(a_folder),
    "a pipe": in_its_place(os.mkfifo),
    "an endless device": in_its_place(lambda file: file.symlink_to("/dev/zero")),
    "a link in a circle": in_its_place(lambda file: file.symlink_to(file)),
    "a verdict": verdict_as_group,
    "NaN cost": value_becomes("cost_curve", (2, 3), np.nan),
    "infinite cost": value_becomes("cost_curve", (2, 3), np.inf),
    "a cost after divergence": value_becomes("cost_curve", (1, 5), 0.5),
    "infinite after divergence": value_becomes("cost_curve", (1, 5), np.inf),
    "diverged after the end": value_becomes("diverged_at", 1, 6),
    "diverged at -2": value_becomes("diverged_at", 1, -2),
    "diverged at no step": value_becomes("diverged_at", 1, -1),
    "stalled after the end": value_becomes("stalled_at", 0, 9),
    "diverged and stalled": value_becomes("stalled_at", 1, 2),
    "NaN accuracy": value_becomes("test_accuracy", 0, np.nan),
    "accuracy above 1": value_becomes("train_accuracy", 0, 1.5),
    "accuracy of a diverged run": value_becomes("train_accuracy", 1, 0.5),
    "negative seconds": value_becomes("seconds", 0, -1.0),
    "negative norm": value_becomes("gradient_norm_start", (0, 0), -1.0),
    "a run less": array_becomes("cost_curve", lambda value: value[1:]),
    "a step less": array_becomes("cost_curve", lambda value: value[:, 1:]),
    "float32 costs": array_becomes("cost_curve", lambda value: value.astype(np.float32)),
    "texts for numbers": array_becomes("seconds", lambda value: "seconds"),
    "no costs": rewritten(lambda file: file.__delitem__("cost_curve")),
    "no parameters": rewritten(lambda file: file.__delitem__("parameters")),
    "a layer less": rewritten(lambda file: file.__delitem__("parameters/W2")),
    "parameters of other shape": array_becomes("parameters/W2", lambda value: value[:, :, 1:]),
    "parameters of other dtype": array_becomes("parameters/b1", lambda value: value.astype(np.float32)),
    "parameters of no run": value_becomes("kept", 0, 6),
    "a number for all that was kept": array_becomes("kept", lambda value: 1),
    "points that are lists": content_becomes(lambda content: [content[0], [[[]] * 4] * 6]),
    "no points": rewritten(lambda file: file.__delitem__("content")),
    "a point less": content_becomes(lambda content: [content[0], content[1][1:]]),
    "a point twice": content_becomes(lambda content: [content[0], content[1][1:] + content[1][1:2]]),
    "a point with too little": content_becomes(lambda content: [content[0], [["he", 0.1]]]),
    "points that are none": content_becomes(lambda content: None),
    "steps of a point": content_becomes(lambda content: [content[0], [[*p[:3], 4] for p in content[1]]]),
    "another schema": attribute_becomes("schema_version", 99),
    "another kind": attribute_becomes("kind", "verification"),
    "no architecture": rewritten(lambda file: file.attrs.__delitem__("architecture")),
    "an architecture that is none": attribute_becomes("architecture", "[1]"),
    "an origin that is none": attribute_becomes("origin", "{}"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_or_foreign_group_is_told_and_set_aside_and_the_others_are_found(
    damage: Callable[[Path], Path], told: Told
) -> None:
    good = put(told.store, points(seeds=2, rates=(7.0,)))
    damaged = damage(put(told.store, points(), kept=[0, 2], diverged=[1]))
    content = damaged.read_bytes() if damaged.is_file() and not damaged.is_symlink() else None
    every = [*points(), *points(seeds=2, rates=(7.0,))]
    assert told.store.read(every, ORIGIN).runs.keys() == set(every[6:])
    [sentence] = told
    assert str(damaged) in sentence
    assert len(sentence.splitlines()) == 1
    assert good.is_file()
    assert not os.path.lexists(damaged)
    [aside] = (told.store.runs / "set-aside").iterdir()
    assert os.path.lexists(aside / damaged.name)
    assert content is None or (aside / damaged.name).read_bytes() == content
    put(told.store, points())
    assert told.store.read(every, ORIGIN).runs.keys() == set(every)
    assert len(told) == 1


def test_no_flipped_byte_of_a_group_is_ever_believed(told: Told) -> None:
    file = put(told.store, points(seeds=1, rates=(1.0,)), kept=[0])
    content = bytearray(file.read_bytes())
    for at in range(0, len(content), 211):
        content[at] ^= 0x40
        file.write_bytes(content)
        content[at] ^= 0x40
        assert not told.store.read(points(seeds=1, rates=(1.0,)), ORIGIN).runs
    assert len(told) == len(range(0, len(content), 211))
    assert len(list(told.store.runs.glob("set-aside/*/*.h5"))) == len(told), "none replaces another"


def verdict_of_other_code(file: Path) -> Path:
    other = Store(file.parents[3]).write_verification(verdict(), replace(ORIGIN, code="e" * 64))
    file.unlink()
    return other.rename(file.parent / other.name)


@pytest.mark.parametrize(
    "damage", [flipped(0.5), bytes_become(lambda content: b""), verdict_of_other_code, in_its_place(a_folder)]
)
def test_a_damaged_verdict_is_told_and_set_aside(damage: Callable[[Path], Path], told: Told) -> None:
    file = damage(told.store.write_verification(verdict(moment="end"), ORIGIN))
    assert told.store.verifications(ORIGIN, SMALL) == []
    [sentence] = told
    assert str(file) in sentence


def test_a_file_that_cannot_be_moved_away_is_told_and_ignored(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = bytes_become(lambda content: b"")(put(told.store, points()))

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    assert told.store.read(points(), ORIGIN).runs == {}
    [sentence] = told
    assert "is ignored" in sentence
    assert "Read-only file system" in sentence
    assert file.exists()


def test_a_group_that_has_gone_since_it_was_found_is_named(told: Told) -> None:
    put(told.store, points())
    [run, *_] = told.store.read(points(), ORIGIN).runs.values()
    flipped(0.5)(run.file)
    with pytest.raises(StoreError, match=r"has gone or was changed .* run the same command again"):
        told.store.trained([run])


def test_what_no_training_gives_is_not_stored(told: Told) -> None:
    impossible = trained(points())
    impossible.cost_curve[0, 0] = np.nan
    with pytest.raises(StoreError, match="cost_curve has values that no training gives"):
        told.store.write(points(), impossible, ORIGIN, ENVIRONMENT, TIMES)
    assert contents(told.store.results) == {}
