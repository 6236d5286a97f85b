"""Pictures of Grafana dashboards with live data, where Grafana itself cannot be installed."""
