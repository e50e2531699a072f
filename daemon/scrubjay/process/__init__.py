"""The daemon as a process: started, found, stopped."""
