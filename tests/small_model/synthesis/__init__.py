"""Synthetic speech with texts and word times, from Debian's espeak-ng, flite and festival."""
