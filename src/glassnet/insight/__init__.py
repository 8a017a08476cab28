"""Seeing into a network: what is wrong with it, what one step does, pictures and reports."""
