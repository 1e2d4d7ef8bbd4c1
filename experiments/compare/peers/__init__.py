"""Other systems, each one file: run in an environment of its own on the folder that ``handover`` writes.

A script calls ``exchange.answer(fit)``; numpy and pandas are all that this needs.
"""
