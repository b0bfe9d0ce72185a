{{/* Who may reach a component of the chart: other components, by name, and whoever the values add. */}}
{{- define "edgebed.policy" }}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ include "edgebed.named" (list .root .component) }}
  labels: {{- include "edgebed.labels" (list .root .component) | nindent 4 }}
spec:
  podSelector:
    matchLabels: {{- include "edgebed.selector" (list .root .component) | nindent 6 }}
  policyTypes: [Ingress]
  {{- if or .from .others }}
  ingress:
    - from:
        {{- with .from }}
        {{- include "edgebed.peers" . | nindent 8 }}
        {{- end }}
        {{- with .others }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      ports:
        {{- range .ports }}
        - {port: {{ . }}, protocol: TCP}
        {{- end }}
  {{- else }}
  ingress: []
  {{- end }}
{{- end }}

{{- define "edgebed.peers" -}}
- podSelector:
    matchLabels: {app.kubernetes.io/part-of: edgebed}
    matchExpressions:
      - {key: app.kubernetes.io/component, operator: In, values: [{{ join ", " . }}]}
{{- end }}
