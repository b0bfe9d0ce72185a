"""Grafana dashboards and Prometheus alerts, written as data: `python -m scripts.dashboards` makes the files again.

    grafana    a panel, a row, a variable and a dashboard as data, and the JSON that Grafana wants of them
    experiment, nodes, links, learning, middleware
               one dashboard each: what is shown, in which order, by which expression
    alerts     rules, with what a person can do about each
    pages      docs/metrics.md: every metric that services serve, and every alert

Nothing else belongs here: what services serve is declared in their own `metrics.py`.
"""
