"""English words of explanations that are written freely: the default of ``[explain] words``."""

# fmt: off
WORDS = (
    "a", "an", "the", "this", "that", "it", "its", "it's", "is", "are", "was", "be", "i", "i'm", "me", "my", "we",
    "you", "your", "you'll", "you're", "and", "or", "of", "in", "on", "at", "to", "for", "by", "as", "so", "with",
    "will", "would", "can", "may", "think", "believe", "sure", "hope", "recommend", "suggest", "recommendation",
    "because", "since", "like", "love", "enjoy", "enjoyed", "liked", "loved", "appreciate", "great", "good",
    "choice", "perfect", "one", "too", "also", "another", "watch", "try", "if", "then", "based", "taste", "fan",
    "just",
)
# fmt: on
