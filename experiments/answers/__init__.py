"""What a sweep has found, what a folder holds, in what two sweeps differ, and how one is removed."""
