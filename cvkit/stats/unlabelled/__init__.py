"""How good is it without labels: estimates, and the labels that would tell most."""
