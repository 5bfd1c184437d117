"""Downloads: data sets and pre-trained models, checked by checksum and stored under ``GENRE_HOME``."""
