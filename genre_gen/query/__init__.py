"""Requests in free text: ``something light about space for kids, no horror, from the 90s``.

A request is parsed by the catalog's own words, without a model, so the same text always has the same meaning:

- **Values of fields** are found by their words, in any number (comedies, Sci-Fi, sci fi); ``[query] words`` of
  ``domain.toml`` defines other words (scary: Horror, cheap: a low price, euros: the unit of price).
- **Hard conditions** become a filter in the language of ``filter_expression``: values, ranges, numbers with a unit and
  ends of numbers that are denied (no horror, no 80s, not too long); numbers that are compared or ranged (under 20
  euros, before 1980, the 90s); values behind ``only``. Comparisons of one field that "or" joins are alternatives, and
  so are its ranges; all else holds together.
- **Preferences** become a score: how far an item fulfils each, from 0 to 1, on average; what is denied counts against
  it. A value is fulfilled or not; a low or high number by its rank in the catalog; any other word by its TF-IDF in
  title, attributes and description, as a share of the best item's. Soft are also other words and titles that are
  denied (no alien, nothing like Alien), values that are wanted less (less horror), and ends behind ``only``
  (only new films).
- **A denial reaches** to the end of its clause, or to a word such as ``but`` or ``for``. "or" continues it; "and"
  too (no horror and comedy), but not what a word leads (no horror and after 1980, no horror and about dogs), nor a word
  behind a number or title (not before 1980 and funny). A comma ends a clause, but not within a list (not scary, violent
  or sad). What is led and not joined narrows the denial (no horror before 1980: other horror may come); behind
  ``without`` it is asked for (films without horror from the 90s). ``not too`` and ``less`` deny one thing, and what
  "or" adds to it.
- **Titles** after ``like`` and similar words, or in quotes, ask for items similar to that one: by the texts, and by
  interactions if a recommender provides its models. The item itself is left out.
- **All other words** are reported as unknown.

A request is data: it is cut into words, looked up, and rendered nowhere.

``words`` cuts a request into words, ``vocabulary`` says what they stand for in a catalog, ``state`` follows the request
from left to right, ``parsed`` is what comes out, and ``parser`` puts these together and says how well items match.
``settings`` holds the default words.
"""
