"""An empty module, imported to measure the cost of any import."""
