"""The daemon's one loop over one closed set of events."""
