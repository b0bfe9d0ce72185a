{{/* Names, labels, images, volumes and secrets: what several templates say in the same way. */}}

{{- define "edgebed.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- $whole := ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) -}}
{{- default $whole .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- end }}

{{/* Name of a component's objects: (list $ "mysql") */}}
{{- define "edgebed.named" -}}
{{- printf "%s-%s" (include "edgebed.fullname" (first .)) (last .) -}}
{{- end }}

{{/* Labels by which the pods of a component are found; they can never change. */}}
{{- define "edgebed.selector" -}}
{{- $root := first . -}}
app.kubernetes.io/name: edgebed
app.kubernetes.io/instance: {{ $root.Release.Name }}
app.kubernetes.io/component: {{ last . }}
{{- end }}

{{- define "edgebed.labels" -}}
{{- $root := first . -}}
{{ include "edgebed.selector" . }}
app.kubernetes.io/part-of: edgebed
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
helm.sh/chart: {{ printf "%s-%s" $root.Chart.Name $root.Chart.Version | replace "+" "_" }}
{{- with $root.Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Labels of a component's pods: without those that change with every version. */}}
{{- define "edgebed.podLabels" -}}
{{ include "edgebed.selector" . }}
app.kubernetes.io/part-of: edgebed
{{- with (first .).Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Reference of an image: (list $ .Values.mysql.image) */}}
{{- define "edgebed.image" -}}
{{- $root := first . -}}
{{- $image := last . -}}
{{- with default $root.Values.images.registry $image.registry }}{{ . }}/{{ end -}}
{{- $image.repository -}}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default $root.Chart.AppVersion $image.tag }}{{ end -}}
{{- end }}

{{/* "true" where the chart installs a server itself: .Values.mysql */}}
{{- define "edgebed.installed" -}}
{{- if and .enabled (not .external) }}true{{ end -}}
{{- end }}

{{/* "true" where artefacts are a folder on a volume. */}}
{{- define "edgebed.artefactsOnVolume" -}}
{{- if not (or .Values.hdfs.enabled .Values.hdfs.external) }}true{{ end -}}
{{- end }}

{{/* A value of one of our Secrets: (list $ "mysql" "password" GIVEN). What is given, else what the cluster has, else a new one,
     which is the same wherever this rendering asks for it. */}}
{{- define "edgebed.kept" -}}
{{- $root := index . 0 -}}
{{- $secret := include "edgebed.named" (list $root (index . 1)) -}}
{{- $key := index . 2 -}}
{{- if index . 3 -}}
{{- index . 3 -}}
{{- else -}}
{{- if not (hasKey $root.Values "made") -}}{{- $_ := set $root.Values "made" dict -}}{{- end -}}
{{- $made := get $root.Values "made" -}}
{{- $name := printf "%s/%s" $secret $key -}}
{{- if not (hasKey $made $name) -}}
{{- $found := get (get (lookup "v1" "Secret" $root.Release.Namespace $secret) "data" | default dict) $key -}}
{{- $_ := set $made $name (ternary ($found | b64dec) (randAlphaNum 48) (ne $found "")) -}}
{{- end -}}
{{- get $made $name -}}
{{- end -}}
{{- end }}

{{/* Name of the Secret with a password: (list $ "mysql" .Values.mysql.auth) */}}
{{- define "edgebed.secretOf" -}}
{{- default (include "edgebed.named" (list (index . 0) (index . 1))) (index . 2).existingSecret -}}
{{- end }}

{{/* Annotation of what `helm uninstall` leaves. */}}
{{- define "edgebed.keptData" -}}
{{- if .Values.keepData -}}
annotations:
  helm.sh/resource-policy: keep
{{- end }}
{{- end }}

{{/* A PersistentVolumeClaim, unless there is one already: (list $ "mysql" .Values.mysql.persistence) */}}
{{- define "edgebed.claim" -}}
{{- $root := index . 0 -}}
{{- $claim := index . 2 -}}
{{- if and (dig "enabled" true $claim) (not $claim.existingClaim) }}
---
apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: {{ include "edgebed.named" (list $root (index . 1)) }}
  labels: {{- include "edgebed.labels" (list $root (index . 1)) | nindent 4 }}
  {{- with include "edgebed.keptData" $root }}{{ . | nindent 2 }}{{ end }}
spec:
  accessModes: [{{ $claim.accessMode }}]
  {{- with $claim.storageClass }}
  storageClassName: {{ . }}
  {{- end }}
  resources:
    requests:
      storage: {{ $claim.size }}
{{- end }}
{{- end }}

{{/* The source of a pod's volume, from the same. */}}
{{- define "edgebed.volume" -}}
{{- $claim := index . 2 -}}
{{- if dig "enabled" true $claim -}}
persistentVolumeClaim:
  claimName: {{ default (include "edgebed.named" (list (index . 0) (index . 1))) $claim.existingClaim }}
{{- else -}}
emptyDir: {}
{{- end }}
{{- end }}

{{/* What the restricted Pod Security Standard asks of a pod: (list USER GROUP) */}}
{{- define "edgebed.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ int64 (first .) }}
runAsGroup: {{ int64 (last .) }}
fsGroup: {{ int64 (last .) }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* And of a container. */}}
{{- define "edgebed.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Where a pod may run, and with whose images: (list $ .Values.mysql) */}}
{{- define "edgebed.placement" -}}
{{- $root := first . -}}
{{- $values := last . -}}
{{- with $root.Values.images.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- end }}

{{/* Where services keep models and logs. */}}
{{- define "edgebed.artefacts" -}}
{{- if .Values.hdfs.external -}}
{{ .Values.hdfs.external }}
{{- else if .Values.hdfs.enabled -}}
webhdfs://edgebed@{{ include "edgebed.named" (list . "namenode") }}:9870/edgebed
{{- else -}}
file:/var/lib/edgebed/artefacts
{{- end }}
{{- end }}

{{/* Where the controller keeps the task log. */}}
{{- define "edgebed.taskLog" -}}
{{- if .Values.mysql.external -}}
{{ .Values.mysql.external }}
{{- else if .Values.mysql.enabled -}}
mysql+pymysql://edgebed@{{ include "edgebed.named" (list . "mysql") }}:3306/edgebed
{{- else -}}
sqlite:////var/lib/edgebed/tasks.db
{{- end }}
{{- end }}

{{/* Where services register, and are told of settings. */}}
{{- define "edgebed.coordination" -}}
{{- if .Values.nacos.external -}}
{{ .Values.nacos.external }}
{{- else if .Values.nacos.enabled -}}
nacos://{{ include "edgebed.named" (list . "nacos") }}:8848/public
{{- else -}}
embedded
{{- end }}
{{- end }}

{{/* Secret settings of services, as the operator's settings name them. */}}
{{- define "edgebed.secretSettings" -}}
{{- if .Values.token.enabled }}
EDGEBED_TOKEN: {secret: {{ include "edgebed.secretOf" (list . "token" .Values.token) }}, key: token}
{{- end }}
{{- if or .Values.mysql.enabled .Values.mysql.external }}
EDGEBED_TASK_LOG_PASSWORD: {secret: {{ include "edgebed.secretOf" (list . "mysql" .Values.mysql.auth) }}, key: password}
{{- end }}
{{- if and .Values.nacos.external .Values.nacos.auth.user }}
EDGEBED_COORDINATION_PASSWORD: {secret: {{ include "edgebed.secretOf" (list . "nacos" .Values.nacos.auth) }}, key: password}
{{- end }}
{{- end }}

{{/* Address of the controller for everybody in the namespace. */}}
{{- define "edgebed.controller" -}}
http://{{ include "edgebed.named" (list . "controller") }}:{{ .Values.controller.service.port }}
{{- end }}
