{{/* Where Grafana finds Prometheus, and the dashboards. */}}
{{- define "edgebed.grafanaConfiguration" -}}
datasource.yaml: |
  apiVersion: 1
  datasources:
    - name: edgebed
      type: prometheus
      uid: edgebed
      access: proxy
      url: {{ default (printf "http://%s:9090" (include "edgebed.named" (list . "prometheus"))) .Values.prometheus.external }}
      isDefault: true
      editable: false
      # Of rates: the interval between scrapes.
      jsonData: {timeInterval: {{ include "edgebed.scrapeInterval" . }}, httpMethod: POST}
provider.yaml: |
  apiVersion: 1
  providers:
    - name: edgebed
      folder: edgebed
      type: file
      allowUiUpdates: false
      options: {path: /etc/edgebed/dashboards}
{{- end }}

{{- define "edgebed.scrapeInterval" -}}
{{- ternary .Values.monitoring.interval .Values.prometheus.scrapeInterval .Values.monitoring.enabled -}}
{{- end }}
