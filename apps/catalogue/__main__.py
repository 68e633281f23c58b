"""Write docs/algorithms.md, presets.md and metrics.md: `python -m apps.catalogue`."""

from apps.catalogue.pages import write_pages

if __name__ == "__main__":
    write_pages()
