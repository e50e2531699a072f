"""Records: what contexts held, in files, so that a restart or another day finds it again.

Pure but for the folder that it is given: no clock of its own, no model. Runs in the engine process; `scrubjay forget` uses the
folder alone.
"""
