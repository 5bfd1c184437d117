"""Routes of the server, one file a noun."""
