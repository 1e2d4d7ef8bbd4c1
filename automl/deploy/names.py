"""Names inside a bundle that the side that writes it and the side that reads it share."""

MEMBER = "member_"
"""How the graph's outputs begin that tell what single members of an ensemble said: nobody asks for them to answer."""
