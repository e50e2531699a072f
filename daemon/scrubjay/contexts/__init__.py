"""Contexts that stay warm: tokens they hold, checkpoints, and the pools of both. Runs in the engine process."""
