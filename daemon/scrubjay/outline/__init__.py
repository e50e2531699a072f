"""What source files consist of."""
