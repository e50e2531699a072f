"""The engine: llama.cpp contexts that stay warm, in a process of their own."""
