"""English words of requests in free text: the defaults of ``[query]``, whose keys say what each list is for."""

# fmt: off
NEGATIONS = (
    "no", "not", "nor", "nothing", "none", "never", "non", "neither", "don't", "dont", "doesn't", "isn't", "aren't",
    "can't", "cannot", "shouldn't", "avoid", "exclude", "i hate", "i dislike", "instead of", "rather than",
    "tired of", "sick of", "enough of", "not in the mood for", "don't care for", "no need for", "not up for",
)
WITHOUT = ("without",)
EXCEPTIONS = (
    "except", "except for", "excluding", "other than", "apart from", "aside from", "anything but", "everything but",
    "all but",
)
NOT_TOO = (
    "not too", "not very", "not so", "not that", "not overly", "nothing too", "nothing very", "never too",
    "isn't too", "isn't very",
)
LESS = ("less", "fewer")
ONLY = ("only", "just", "must be", "nothing but", "none but")
SCOPE_ENDS = (
    "but", "instead", "rather", "with", "please", "something", "for", "more", "some", "want", "need",
    "give", "show", "prefer", "preferably", "ideally", "maybe", "perhaps", "though", "yet", "and is", "and are",
    "and has", "and have", "and that",
)
CONJUNCTIONS = ("and", "as well as")
DISJUNCTIONS = ("or",)
BELOW = ("under", "below", "before", "less than", "fewer than", "earlier than")
AT_MOST = ("at most", "up to", "until", "no more than", "not more than", "maximum", "max")
ABOVE = ("over", "above", "after", "more than", "later than")
AT_LEAST = ("at least", "since", "no less than", "not less than", "minimum", "min")
BETWEEN = ("between", "from")
PREPOSITIONS = ("about", "around", "in", "on", "at", "by")
THAN = ("than",)
SIMILAR = ("like", "similar to", "in the style of", "in the vein of", "reminiscent of")
STOP_WORDS = (
    "a", "an", "the", "this", "that", "these", "those", "it", "its", "is", "are", "be", "was", "were", "s", "t",
    "i", "me", "my", "mine", "we", "us", "our", "you", "your", "he", "she", "his", "her", "they", "them", "their",
    "of", "to", "as", "if", "so", "all", "any", "anything", "most", "very", "too", "really", "quite", "much", "bit",
    "little", "kind", "sort", "would", "would love", "find", "recommend", "suggest", "look", "can", "could",
    "should", "do", "does", "have", "has", "get", "one", "ones", "thing", "things", "looking", "not only",
    "not just", "not necessarily", "don't mind", "why not",
)
# fmt: on
