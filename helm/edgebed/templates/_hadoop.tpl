{{/* Configuration of namenode and datanode, in files: a starter that makes it of variables may want to become root. */}}
{{- define "edgebed.hdfsConfiguration" -}}
{{- $namenode := include "edgebed.named" (list . "namenode") -}}
core-site.xml: |
  {{- include "edgebed.properties" (dict "fs.defaultFS" (printf "hdfs://%s:8020" $namenode)) | nindent 2 }}
hdfs-site.xml: |
  {{- $properties := dict
      "dfs.replication" "1"
      "dfs.permissions.enabled" "false"
      "dfs.namenode.name.dir" "/data/namenode"
      "dfs.datanode.data.dir" "/data/datanode"
      "dfs.namenode.rpc-bind-host" "0.0.0.0"
      "dfs.namenode.http-bind-host" "0.0.0.0"
      "dfs.namenode.datanode.registration.ip-hostname-check" "false"
      "dfs.datanode.hostname" (include "edgebed.named" (list . "datanode"))
      "dfs.client.block.write.locateFollowingBlock.initial.delay.ms" "10" }}
  {{- include "edgebed.properties" $properties | nindent 2 }}
{{- end }}

{{- define "edgebed.properties" -}}
<configuration>
{{- range $name, $value := . }}
  <property><name>{{ $name }}</name><value>{{ $value }}</value></property>
{{- end }}
</configuration>
{{- end }}

{{/* Service, volume and StatefulSet of a namenode or datanode. Names resolve before it is ready: each waits for the other. */}}
{{- define "edgebed.hadoop" -}}
{{- $root := .root }}
{{- $hdfs := $root.Values.hdfs }}
{{- $name := include "edgebed.named" (list $root .component) }}
---
apiVersion: v1
kind: Service
metadata:
  name: {{ $name }}
  labels: {{- include "edgebed.labels" (list $root .component) | nindent 4 }}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {{- include "edgebed.selector" (list $root .component) | nindent 4 }}
  ports:
    {{- range $port, $number := .ports }}
    - {name: {{ $port }}, port: {{ $number }}, targetPort: {{ $port }}, protocol: TCP}
    {{- end }}
{{- include "edgebed.claim" (list $root .component .values.persistence) }}
---
apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: {{ $name }}
  labels: {{- include "edgebed.labels" (list $root .component) | nindent 4 }}
spec:
  replicas: 1
  serviceName: {{ $name }}
  selector:
    matchLabels: {{- include "edgebed.selector" (list $root .component) | nindent 6 }}
  template:
    metadata:
      labels: {{- include "edgebed.podLabels" (list $root .component) | nindent 8 }}
      annotations:
        checksum/configuration: {{ include "edgebed.hdfsConfiguration" $root | sha256sum }}
    spec:
      automountServiceAccountToken: false
      enableServiceLinks: false
      terminationGracePeriodSeconds: 30
      securityContext: {{- include "edgebed.podSecurity" (list $hdfs.runAsUser $hdfs.runAsUser) | nindent 8 }}
      {{- with include "edgebed.placement" (list $root $hdfs) | trim }}
      {{- . | nindent 6 }}
      {{- end }}
      containers:
        - name: {{ .component }}
          image: {{ include "edgebed.image" (list $root $hdfs.image) }}
          imagePullPolicy: {{ $root.Values.images.pullPolicy }}
          # Past the image's own starter, which calls sudo.
          command: [bash, -c, {{ printf "export PATH=/opt/hadoop/bin:$PATH; %s" .start | quote }}]
          env:
            - {name: HADOOP_HEAPSIZE_MAX, value: {{ $hdfs.heap | quote }}}
            - {name: HADOOP_LOG_DIR, value: /tmp}
          ports:
            {{- range $port, $number := .ports }}
            - {name: {{ $port }}, containerPort: {{ $number }}}
            {{- end }}
          startupProbe:
            httpGet: &ready {path: {{ .ready | quote }}, port: http}
            periodSeconds: 3
            timeoutSeconds: 5
            failureThreshold: 200
          readinessProbe:
            httpGet: *ready
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 3
          livenessProbe:
            httpGet: {path: {{ .alive | quote }}, port: http}
            periodSeconds: 15
            timeoutSeconds: 10
            failureThreshold: 6
          resources: {{- toYaml .values.resources | nindent 12 }}
          securityContext: {{- include "edgebed.containerSecurity" $root | nindent 12 }}
          volumeMounts:
            - {name: data, mountPath: /data}
            - {name: configuration, mountPath: /opt/hadoop/etc/hadoop/core-site.xml, subPath: core-site.xml, readOnly: true}
            - {name: configuration, mountPath: /opt/hadoop/etc/hadoop/hdfs-site.xml, subPath: hdfs-site.xml, readOnly: true}
            - {name: tmp, mountPath: /tmp}
      volumes:
        - name: data
          {{- include "edgebed.volume" (list $root .component .values.persistence) | nindent 10 }}
        - name: configuration
          configMap: {name: {{ include "edgebed.named" (list $root "hdfs") }}}
        - name: tmp
          emptyDir: {}
{{- end }}
