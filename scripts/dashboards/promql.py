"""The few expressions that dashboards and alerts are made of."""


def rate(metric: str, selector: str = "") -> str:
    """How much a counter rises per second, over Grafana's interval."""
    return f"rate({metric}{{{selector}}}[$__rate_interval])"


def total(metric: str, selector: str = "", by: str = "") -> str:
    """The same of all series together, or of those that share labels."""
    return f"sum{f' by ({by})' if by else ''} ({rate(metric, selector)})"


def mean(summary: str, selector: str = "", by: str = "") -> str:
    """Of the values of a summary or histogram; nothing where there was no value."""
    return f"{total(f'{summary}_sum', selector, by)} / ({total(f'{summary}_count', selector, by)} > 0)"


def quantile(q: float, histogram: str, selector: str = "", by: str = "") -> str:
    """Of the values of a histogram; nothing where there was no value."""
    labels = ", ".join(filter(None, ("le", by)))
    found = f"histogram_quantile({q:g}, {total(f'{histogram}_bucket', selector, labels)})"
    return f"{found} >= 0"  # without values it is NaN, which is not
