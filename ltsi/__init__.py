"""ltsi: experiments with long- and short-term user interest."""

__version__ = "0.1.0"
