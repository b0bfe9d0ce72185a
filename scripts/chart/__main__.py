"""`python -m scripts.chart`: writes the chart's generated files."""

from pathlib import Path

from scripts.chart import copies, readme, schema
from scripts.chart.values import CHART


def files() -> dict[Path, str]:
    """Every file with its content."""
    return {
        CHART / "files/experiments.yaml": copies.experiments(),
        CHART / "files/rules.yaml": copies.rules(),
        CHART / "values.schema.json": schema.written(),
        CHART / "README.md": readme.written(),
    }


def main() -> None:
    """Writes them."""
    for path, content in files().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
