"""The live server: HTTP in front of the live parts and the store."""
