"""Languages: what is said and read in one, as tables; English is one of them.

``language`` holds the tables of ``prompts/_languages/<code>.toml``, ``settings`` what a domain calls its things in a
language, ``resolved`` both together for one domain, and ``scripts`` tells words in scripts with and without spaces.
The sentences themselves are templates: ``prompts/<domain>/`` in English, ``prompts/<domain>/<code>/`` in others.
"""
