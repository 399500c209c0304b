"""`python -m experiments` is the command `autodiff-sandbox`."""

from experiments.entry import main

main()
