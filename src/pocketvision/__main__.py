"""`python -m pocketvision` is the command."""

from pocketvision.cli.main import main

if __name__ == "__main__":
    main()
