"""The HTTP server: metrics, health, service discovery and a page for a person."""
