"""The native interface: routes and editor sessions."""
