"""`python -m autoaug` is `autoaug`."""

from autoaug.cli import main

main()
