"""Terminology: what a code means, and which codes a value set has."""
