"""The product: a phone with two people in it, one of them in front."""
