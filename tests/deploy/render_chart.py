"""Renders the chart with Helm's own engine: render_chart.py CHART VALUES OUTPUT.

VALUES is JSON. What Helm itself logs goes to standard error."""

import json
import sys

from helm_python.chart import Chart

chart, values, output = sys.argv[1:]
manifests = Chart.load(chart).render(values=json.loads(values), namespace="wstap")
with open(output, "w", encoding="utf-8") as file:
    for name, text in manifests.items():
        if name.endswith(".yaml") and text.strip():
            file.write(f"---\n# {name}\n{text}\n")
