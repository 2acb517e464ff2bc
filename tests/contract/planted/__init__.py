"""Bugs as people make them: each breaks one promise, and names the standard test that has to notice."""
