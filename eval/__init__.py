"""Scripts that measure GENRE, one a question; ``eval/README.md`` lists them."""
