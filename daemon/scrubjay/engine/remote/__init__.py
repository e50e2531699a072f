"""Models that another server runs: vLLM, SGLang, llama.cpp's server, or another Scrubjay."""
