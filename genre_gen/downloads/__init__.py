"""Downloads: data sets and pre-trained models, checked, kept under ``GENRE_HOME``."""
