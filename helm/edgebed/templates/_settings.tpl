{{/* What every service is told. */}}
{{- define "edgebed.settings" -}}
EDGEBED_ARTEFACTS: {{ include "edgebed.artefacts" . }}
EDGEBED_COORDINATION: {{ include "edgebed.coordination" . }}
{{- with .Values.nacos.auth.user }}
EDGEBED_COORDINATION_USER: {{ . | quote }}
{{- end }}
EDGEBED_LOG_LEVEL: {{ .Values.controller.logLevel }}
{{- end }}

{{/* The secrets that the controller reads when it starts, as far as the chart knows them. */}}
{{- define "edgebed.secretsOfController" -}}
{{- if and .Values.token.enabled (not .Values.token.existingSecret) -}}
{{ include "edgebed.kept" (list . "token" "token" .Values.token.value) }}
{{ end -}}
{{- if and (or .Values.mysql.enabled .Values.mysql.external) (not .Values.mysql.auth.existingSecret) -}}
{{ include "edgebed.kept" (list . "mysql" "password" .Values.mysql.auth.password) }}
{{ end -}}
{{- .Values.nacos.auth.password -}}
{{- end }}

{{/* The pods of one role, without what is not given: (list $ .Values.edgeNode IMAGE) */}}
{{- define "edgebed.role" -}}
{{- $role := index . 1 -}}
image: {{ include "edgebed.image" (list (index . 0) (index . 2)) }}
{{- $given := dict -}}
{{- range $name, $value := omit $role "image" "gpuResource" -}}
{{- if $value }}{{ $_ := set $given $name $value }}{{ end -}}
{{- end -}}
{{- if $role.gpu }}{{ $_ := set $given "gpuResource" $role.gpuResource }}{{ end -}}
{{- with $given }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "edgebed.operatorSettings" -}}
{{- $values := .Values -}}
controller: {{ include "edgebed.controller" . }}
configMap: {{ include "edgebed.named" (list . "settings") }}
{{- with include "edgebed.secretSettings" . | trim }}
secrets: {{- . | nindent 2 }}
{{- end }}
{{- if include "edgebed.artefactsOnVolume" . }}
artefactsClaim: {{ default (include "edgebed.named" (list . "artefacts")) $values.artefacts.claim.existingClaim }}
{{- end }}
imagePullPolicy: {{ $values.images.pullPolicy }}
{{- with $values.images.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
runAsUser: {{ int64 $values.security.runAsUser }}
fsGroup: {{ int64 $values.security.fsGroup }}
{{- with $values.experiments.serviceAccountName }}
serviceAccountName: {{ . }}
{{- end }}
keepFailedPods: {{ $values.experiments.keepFailedPods }}
terminationGracePeriodSeconds: {{ int64 $values.experiments.terminationGracePeriodSeconds }}
edgeNode: {{- include "edgebed.role" (list . $values.edgeNode $values.edgeNode.image) | nindent 2 }}
taskGenerator: {{- include "edgebed.role" (list . $values.taskGenerator $values.taskGenerator.image) | nindent 2 }}
trainer: {{- include "edgebed.role" (list . $values.trainer $values.trainer.image) | nindent 2 }}
{{- $image := ternary $values.simulator.image $values.controller.image (ne $values.simulator.image.repository "") }}
simulator: {{- include "edgebed.role" (list . $values.simulator $image) | nindent 2 }}
{{- end }}

{{/* Servers of the chart, as HOST:PORT, that the controller wants to find when it starts. */}}
{{- define "edgebed.waitsFor" -}}
{{- $found := list -}}
{{- if include "edgebed.installed" .Values.mysql }}{{ $found = append $found (printf "%s:3306" (include "edgebed.named" (list . "mysql"))) }}{{ end -}}
{{- if include "edgebed.installed" .Values.hdfs }}{{ $found = append $found (printf "%s:9870" (include "edgebed.named" (list . "namenode"))) }}{{ end -}}
{{- if include "edgebed.installed" .Values.nacos }}{{ $found = append $found (printf "%s:8848" (include "edgebed.named" (list . "nacos"))) }}{{ end -}}
{{- join ", " $found -}}
{{- end }}
