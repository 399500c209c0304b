"""What is done with verified gradients: sweeps over learning rate, depth and initialisation.

`spec` says what to run, `data` loads the examples, `training` trains a stack of networks, `sweep` checks
the gradients of each group before it trains, `store` writes the results, `provenance` knows the versions,
`figures` draws the results and `cli` is the command line over both packages.
"""
