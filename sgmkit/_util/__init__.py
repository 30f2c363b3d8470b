"""Small tools that know nothing of score-based models.

`files` writes whole files or none, `hashing` names cells and weights, `memo` remembers
coefficients, `pictures` draws samples. This room imports nothing of sgmkit but errors.
"""
