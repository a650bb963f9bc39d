"""One photo through a trained generator: found in what it can make, and filmed."""
