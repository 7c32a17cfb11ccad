"""`python -m minivisor` is the `minivisor` command, for machines where no script directory is on the path."""

from minivisor.cli import main

if __name__ == "__main__":
    main()
