"""How a deployed model fares. It knows counts, not requests: a window is a vector of counts, and windows add up."""
