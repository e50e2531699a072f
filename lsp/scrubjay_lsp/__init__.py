"""The language server: a thin client of the daemon, one for each editor.

It speaks the language server protocol on standard input and output and passes on what the editor tells to the daemon,
over one WebSocket. It ends with its editor; the daemon lives.
"""
