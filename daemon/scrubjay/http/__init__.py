"""The daemon's HTTP side: the one package that imports aiohttp.web."""
