"""The command line of ltsi: Typer declares the commands, Hydra composes their experiments."""
