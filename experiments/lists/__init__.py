"""How lists of runs are written: ranges, draws, tables of points, and the kinds of their values."""
