"""Scripts that measure GENRE, one for each question; ``eval/README.md`` lists them."""
