"""Prompting: templates, the sandbox they are rendered in, and prompts as spans."""
