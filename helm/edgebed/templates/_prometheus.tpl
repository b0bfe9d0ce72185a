{{/* What Prometheus scrapes, and the alerts that it knows. Targets have no labels that metrics use themselves. */}}
{{- define "edgebed.prometheusConfiguration" -}}
prometheus.yml: |
  global:
    scrape_interval: {{ .Values.prometheus.scrapeInterval }}
    evaluation_interval: 5s
  rule_files: [/etc/prometheus/alerts-*.yaml]
  scrape_configs:
    - job_name: edgebed
      {{- if .Values.token.enabled }}
      authorization: {credentials_file: /etc/edgebed/secrets/token}
      {{- end }}
      {{- if eq .Values.prometheus.discovery "dns" }}
      static_configs:
        - targets: ['{{ include "edgebed.named" (list . "controller") }}:{{ .Values.controller.service.port }}']
      dns_sd_configs:
        - {names: ['_http._tcp.{{ include "edgebed.named" (list . "experiments") }}.{{ .Release.Namespace }}.svc'], refresh_interval: 2s}
      {{- else }}
      kubernetes_sd_configs:
        - role: pod
          namespaces: {names: [{{ .Release.Namespace }}]}
          selectors:
            - {role: pod, label: 'app.kubernetes.io/part-of=edgebed,app.kubernetes.io/component in (controller,edge-node,task-generator,trainer)'}
      relabel_configs:
        - {source_labels: [__meta_kubernetes_pod_container_port_name], regex: http, action: keep}
        - {source_labels: [__meta_kubernetes_pod_phase], regex: Running, action: keep}
        - {source_labels: [__meta_kubernetes_pod_name], target_label: pod}
      {{- end }}
{{- range $path, $_ := .Files.Glob "alerts/*.yaml" }}
alerts-{{ base $path }}: |
  {{- $.Files.Get $path | trim | nindent 2 }}
{{- end }}
{{- end }}
