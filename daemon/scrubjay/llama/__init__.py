"""The only door to llama.cpp: vocabulary, model, context and sampler as four small classes."""
