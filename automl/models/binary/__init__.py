"""Networks whose weights and activations are +1 and -1, and their own operator: the worked example of one."""
