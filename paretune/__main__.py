"""``python -m paretune`` is the command ``paretune``."""

from paretune.search.cli.main import main

if __name__ == "__main__":
    main()
