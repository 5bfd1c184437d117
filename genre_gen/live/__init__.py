"""What changes while a recommender serves: events, histories, items, and the thread that answers; no HTTP, no SQL."""
