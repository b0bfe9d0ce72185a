"""`python -m scripts.dashboards`: writes helm/edgebed/dashboards, helm/edgebed/alerts and docs/metrics.md."""

from pathlib import Path

from scripts.dashboards import alerts, experiment, grafana, learning, links, middleware, nodes, pages

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/edgebed"
DASHBOARDS = tuple(module.DASHBOARD for module in (experiment, nodes, links, learning, middleware))


def files() -> dict[Path, str]:
    """Every file with its content."""
    made = {
        CHART / "dashboards" / f"{one.uid.removeprefix('edgebed-')}.json": grafana.written(one) for one in DASHBOARDS
    }
    made |= {CHART / "alerts" / f"{name.removeprefix('edgebed-')}.yaml": alerts.written(name) for name in alerts.GROUPS}
    return {**made, ROOT / "docs/metrics.md": pages.page()}


def main() -> None:
    """Writes them, and removes what was made before and is not any more."""
    made = files()
    for old in (*CHART.glob("dashboards/*.json"), *CHART.glob("alerts/*.yaml")):
        if old not in made:
            old.unlink()
    for path, content in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
