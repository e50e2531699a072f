"""The program that trains the starter model."""
