"""What tests of sweeps share."""

import h5py
import numpy as np
import pytest


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An HDF5 file of 200 made-up images, read without scikit-learn, which takes a second to load."""
    path, rng = tmp_path_factory.mktemp("data") / "images.h5", np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        for part in ("train", "test"):
            file[f"{part}_set_x"] = rng.integers(0, 256, (200, 2, 2, 3), dtype=np.uint8)
            file[f"{part}_set_y"] = rng.integers(0, 2, 200)
    return str(path)
