"""Hydra's configuration groups, importable so that `pkg://ltsi.conf` finds them in a wheel too."""
