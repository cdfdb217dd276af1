"""How soon a real cluster under load decides again after its leader was killed."""
