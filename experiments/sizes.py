"""How large networks are, in Python's whole numbers, which do not overflow: nothing is allocated here."""

from experiments.points import Architecture


def first_layer(architecture: Architecture, n_0: int) -> int:
    """Numbers in W[1] and b[1]."""
    return (architecture.width if architecture.depth > 1 else 1) * (n_0 + 1)


def parameters(architecture: Architecture, n_0: int) -> int:
    """Numbers in all W[l] and b[l]."""
    L, n = architecture.depth, architecture.width
    if L == 1:
        return n_0 + 1
    return n * (n_0 + 1) + (L - 2) * n * (n + 1) + (n + 1)


def hidden_units(architecture: Architecture) -> int:
    return (architecture.depth - 1) * architecture.width


def itemsize(architecture: Architecture) -> int:
    """Bytes of a number."""
    return 4 if architecture.dtype == "float32" else 8
