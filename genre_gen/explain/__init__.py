"""Explanations: why an item is recommended, in sentences of which each is true and can be checked.

``evidence`` finds facts (``facts``) and chooses among them, and ``wording`` turns them into all the sentences that may
be said. ``writer`` lets the language model choose among these under an Outlines grammar, and ``free`` lets it write
without one. ``check`` parses the result and compares it with the data. ``explainer`` combines these modules.
``attribution`` and ``comparison`` measure what a pick depends on by scoring again, and ``profile`` summarises the data
about a user.
"""
