"""The evaluation: how well classes are told apart with few training images."""
