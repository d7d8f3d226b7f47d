"""Small programs for whoever works on Armo."""
