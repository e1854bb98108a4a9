"""How good the models are: each task on public data, beside published figures and the best peer of the same run."""
