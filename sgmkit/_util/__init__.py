"""Small tools that know nothing of score-based models; the other rooms share them.

`files` writes a file whole or not at all, `locks` lets one process at a time do a thing, `hashing`
names cells, runs and weights, `memo` remembers coefficients, `shapes` broadcasts one number for
each sample over a state, `plotting` imports matplotlib or says how to install it, and `pictures`
draws samples. The modules do not need each other (but `pictures` needs `files` and `plotting`).
This room imports `sgmkit.errors` and third-party libraries; plugins find what they may use of it in
`sgmkit.processes` and `sgmkit.data`.
"""
