"""What source files consist of, and which of them have to do with each other."""
