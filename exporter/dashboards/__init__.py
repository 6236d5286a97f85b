"""The bundled Grafana dashboards, and the files that bring them to Grafana.

They are written in the repository's grafana/src; what is here are their templates, in which the
thresholds of the alerts are still to be filled in.
"""
