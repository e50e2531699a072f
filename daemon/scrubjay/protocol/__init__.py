"""What the daemon and its engine process say to each other."""
