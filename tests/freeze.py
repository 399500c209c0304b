"""What a change of the house must leave as it is: every report of the catalogue, and sigma bit for bit.

    python -m tests.freeze before.json  # on the old code
    python -m tests.freeze after.json before.json  # on the new: names what differs, and exits with 1

A tool for comparing two states of the code on one machine: numbers in the texts depend on the BLAS.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import re
import sys
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import sandbox
from sandbox.network import mirror
from sandbox.network.cases import Network, drawn_network
from sandbox.network.catalogue import RIGHT, WRONG
from sandbox.noise import measure
from tests import test_examples
from tests.noise import test_measure as layers

NOT_REPEATABLE = {"random_noise", "stale_caches", "db_accumulated_over_calls"}  # of which texts may differ


def network(output_scale: float, dtype: str) -> Network:
    return drawn_network([5, 5, 5, 1], 12, seed=0, dtype=dtype, output_scale=output_scale)


def described(report: Any, texts: bool = True) -> dict[str, Any]:
    failures = [[r.function, str(r.scope), r.layer, str(r.output)] for r in report.failures()]
    verdict = {"ok": bool(report), "first": failures[:1]}
    data = report.to_dict()
    keys = ("function", "scope", "layer", "output", "verdict", "finding", "pattern", "at_fault")
    rows = [{k: str("" if row.get(k) is None else row[k]) for k in keys} for row in data["rows"]]
    return verdict | {"failures": failures, "text": str(report), "rows": rows} if texts else verdict


def catalogue() -> dict[str, Any]:
    frozen = {}
    for entry in (*WRONG, *RIGHT):
        for scale, dtype in ((1.0, "float64"), (1e3, "float64"), (1.0, "float32")):
            report = sandbox.check_model(*network(scale, dtype), functions={entry.replaces: entry.function})
            frozen[f"{entry.name} {scale} {dtype}"] = described(report, entry.name not in NOT_REPEATABLE)
    for scale, dtype in ((1.0, "float64"), (1e3, "float64"), (1.0, "float32")):
        frozen[f"own {scale} {dtype}"] = described(sandbox.check_model(*network(scale, dtype)))
    return frozen


def examples() -> dict[str, Any]:
    frozen = {}
    for name, inputs in test_examples.LARGER.items():
        module = importlib.import_module(f"examples.{name}")
        for dtype in ("float64", "float32"):
            given = [x.astype(dtype) if getattr(x, "dtype", np.dtype(int)).kind == "f" else x
                     for x in inputs(np.random.default_rng(0))]  # fmt: skip
            for kind in ("right", "wrong"):
                frozen[f"{name} {kind} {dtype}"] = described(
                    sandbox.check_operation(getattr(module, kind), *given)
                )
    return frozen


def sigmas() -> dict[str, Any]:
    frozen = {}
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 2, 5, 4))
    w = 0.5 * rng.standard_normal((4, 2, 2, 2))
    dZ, A, W, b = (rng.standard_normal(s) for s in ((5, 64), (7, 64), (5, 7), (5, 1)))
    A[:, 3], A[2] = A[:, 4], 0
    square = rng.standard_normal((6, 6))
    cases: dict[str, tuple[Any, ...]] = {f.__name__: (f, x, w) for f in layers.LAYERS}
    cases |= {f"{f.__name__} gradient": (layers.gradient(f), x, w) for f in layers.LAYERS[:8]}
    cases |= {f"elementwise {n}": (f, square) for n, f in enumerate(layers.FUNCTIONS)}
    cases |= {f"algebra {name}": (f, square) for name, f in layers.LINEAR_ALGEBRA.items()}
    cases["linear_forward"] = mirror.linear_forward, A, W, b
    cases["linear_backward"] = mirror.linear_backward, dZ, A, W, b
    cases["cost"] = (
        jax.grad(lambda Z, Y: jnp.sum(mirror.cross_entropy_from_logits(Z, Y))),
        dZ[:1],
        (dZ[1:2] > 0).astype(float),
    )
    cases["complex"] = (lambda x: jnp.abs(jnp.exp(1j * x)) + ((x + 2j) ** 3).real, square)
    for name, (function, *arguments) in cases.items():
        for dtype in ("float64", "float32"):
            given = [a.astype(dtype) for a in arguments]
            noise = measure(function, *given, dtype=np.dtype(dtype))
            digest = hashlib.sha256()
            for output in noise.outputs:
                digest.update(np.ascontiguousarray(output.reference).tobytes())
                digest.update(np.ascontiguousarray(output.sigma).tobytes())
                digest.update(bytes([output.overflow]))
            frozen[f"{name} {dtype}"] = [digest.hexdigest(), list(noise.unknown), noise.kinks]
    return frozen


def without_numbers(text: str) -> str:
    return re.sub(r"[-+]?\d[\d.e+-]*", "N", text)


def main() -> None:
    target, *others = map(Path, sys.argv[1:])
    frozen = {"sigma": sigmas(), "examples": examples(), "catalogue": catalogue()}
    target.write_text(json.dumps(frozen, indent=1, sort_keys=True))
    if not others:
        return
    before = json.loads(others[0].read_text())
    different = 0
    for part, entries in json.loads(target.read_text()).items():
        for name in sorted(entries.keys() | before[part].keys()):
            old, new = before[part].get(name), entries.get(name)
            if old != new:
                different += 1
                print(f"--- {part}: {name}")
                if isinstance(old, dict) and isinstance(new, dict):
                    keys = [k for k in old.keys() | new.keys() if old.get(k) != new.get(k)]
                    print("   differs in", keys)
                    if "text" in keys:
                        pairs = zip(old["text"].splitlines(), new["text"].splitlines(), strict=False)
                        for a, b in [p for p in pairs if p[0] != p[1]][:4]:
                            print(f"   - {a}\n   + {b}")
    print(f"{different} differ")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
