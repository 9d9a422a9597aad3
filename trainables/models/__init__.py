"""Networks by name, the weights of each that are pruned, and what one image costs."""
