"""``python -m tcn``, the same as the console script."""

from tcn.commands import main

if __name__ == "__main__":
    main()
