"""Business rules: what a shop or an editor wants of every list, applied within what a request allows.

``settings`` says what rules there are, ``compiled`` reads them for one catalog, ``selection`` makes lists by them. The
order is always the same: filters, the models' scores, boosts, re-ranking within the quotas, and pins at their ranks.
"""
