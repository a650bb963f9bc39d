"""Front doors: what the command line does with runs and data, whatever system made them."""
