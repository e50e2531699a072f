"""The interfaces of llama.cpp's server, of OpenAI and of Tabby."""
