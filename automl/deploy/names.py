"""Names inside a bundle that the side that writes it and the side that reads it share."""

MEMBER = "member_"
"""How the graph's outputs begin that tell what single members of an ensemble said: nobody asks for them to answer."""


def input_names(count: int) -> list[str]:
    """Of a graph that reads so many inputs. The user's own stay in meta.json: two of them may be the same, or be the
    name of the output.
    """
    return [f"input_{i}" for i in range(count)]
