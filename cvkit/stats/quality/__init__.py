"""How good it is: boxes and classes against labels, with what the numbers are sure of."""
