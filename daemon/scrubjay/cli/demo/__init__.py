"""`scrubjay demo`."""
