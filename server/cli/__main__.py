"""`python -m server.cli` is `careplan`."""

from server.cli import main

if __name__ == "__main__":
    main()
