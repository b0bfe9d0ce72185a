{{/* Values that do not go together are refused before anything is installed: what is wrong, and what would be right. */}}
{{- define "edgebed.checks" -}}
{{- $mysql := .Values.mysql -}}
{{- if and $mysql.external (not (or $mysql.auth.password $mysql.auth.existingSecret)) -}}
{{- fail (printf "mysql.external: %s needs a password; give mysql.auth.existingSecret, or mysql.auth.password" $mysql.external) -}}
{{- end -}}
{{- $nacos := .Values.nacos -}}
{{- if and $nacos.auth.user (not $nacos.external) -}}
{{- fail (printf "nacos.auth.user: %s is for an external Nacos; give nacos.external as well, or leave it out" $nacos.auth.user) -}}
{{- end -}}
{{- if and $nacos.auth.user (not (or $nacos.auth.password $nacos.auth.existingSecret)) -}}
{{- fail (printf "nacos.auth.user: %s needs a password; give nacos.auth.existingSecret, or nacos.auth.password" $nacos.auth.user) -}}
{{- end -}}
{{- if and (include "edgebed.installed" .Values.grafana) (not (or .Values.prometheus.enabled .Values.prometheus.external)) -}}
{{- fail "grafana.enabled: Grafana shows what Prometheus knows; give prometheus.external, or set prometheus.enabled to true, or grafana.enabled to false" -}}
{{- end -}}
{{- if and .Values.monitoring.enabled (not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1")) -}}
{{- fail "monitoring.enabled: the cluster does not know monitoring.coreos.com/v1; install the Prometheus operator first, or set monitoring.enabled to false" -}}
{{- end -}}
{{- $account := include "edgebed.named" (list . "controller") -}}
{{- range (lookup "apps/v1" "Deployment" .Release.Namespace "").items -}}
{{- $found := .metadata.labels | default dict -}}
{{- if and (eq (get $found "app.kubernetes.io/name") "edgebed") (eq (get $found "app.kubernetes.io/component") "controller") (ne .metadata.name $account) -}}
{{- fail (printf "namespace %s has a controller already, %s, which looks after all experiments of the namespace; use another namespace" $.Release.Namespace .metadata.name) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* "true" where the chart installs the kind Experiment: unless it is there already, not of this release, and the same. */}}
{{- define "edgebed.installsKind" -}}
{{- if .Values.crds.install -}}
{{- $there := lookup "apiextensions.k8s.io/v1" "CustomResourceDefinition" "" "experiments.edgebed.dev" -}}
{{- $notes := dict -}}
{{- if $there -}}{{- $notes = $there.metadata.annotations | default dict -}}{{- end -}}
{{- $name := get $notes "meta.helm.sh/release-name" -}}
{{- $namespace := get $notes "meta.helm.sh/release-namespace" -}}
{{- if or (not $there) (and (eq $name .Release.Name) (eq $namespace .Release.Namespace)) -}}
true
{{- else -}}
{{- $ours := (index (.Files.Get "files/experiments.yaml" | fromYaml).spec.versions 0).schema | toJson -}}
{{- if ne $ours ((index $there.spec.versions 0).schema | toJson) -}}
{{- $owner := ternary (printf "release %s in namespace %s" $name $namespace) "somebody else" (ne $name "") -}}
{{- fail (printf "crds.install: experiments.edgebed.dev of %s is there already, and is not that of edgebed %s; `edgebed crd | kubectl apply --server-side --force-conflicts -f -` replaces it for all, crds.install=false uses it as it is" $owner .Chart.AppVersion) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end }}
