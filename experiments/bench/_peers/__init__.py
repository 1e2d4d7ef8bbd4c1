"""Other servers with the same model, each one file: run by ``experiments.bench.serve`` in an environment of its own.

A peer reads ``BUNDLE``, the folder of a bundle, and ``PORT`` from its environment, and answers raw rows on 127.0.0.1
with the class of each row and the probability of each class, by the usual way of its framework on one worker.
"""
