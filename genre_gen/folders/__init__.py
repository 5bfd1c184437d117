"""Folders that are whole or not there: written aside, checksummed, renamed into place, and verified when read."""
