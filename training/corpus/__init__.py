"""The training corpus: scores, arrangements, rendering, singing."""
