"""The checker for any operation; it knows no name of the network."""
