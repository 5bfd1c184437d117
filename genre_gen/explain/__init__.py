"""Explanations: why an item is recommended, in sentences of which each is true and can be checked.

``evidence`` finds facts (``facts``) and chooses among them, ``wording`` turns them into all the sentences that may be
said, ``writer`` lets the language model choose among them under an Outlines grammar, ``free`` lets it write without
one, ``check`` reads the result back and compares it with the data, and ``explainer`` puts these together.
``attribution`` and ``comparison`` measure what a pick depends on by scoring again, and ``profile`` says what the data
tells of a user.
"""
