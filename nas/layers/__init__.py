"""Blocks that several families are built of: plain torch modules, no NNI."""
