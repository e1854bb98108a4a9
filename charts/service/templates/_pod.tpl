{{/* What hardens a pod. */}}
{{- define "service.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{/* What hardens a container. */}}
{{- define "service.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* Spec of the pods of one role, from `metadata` on. dict "root" $ "role" "serve" "settings" {...} */}}
{{- define "service.pod" -}}
{{- $root := .root -}}
{{- $settings := .settings -}}
{{- $job := eq .role "migrate" -}}
metadata:
  labels:
    {{- include "service.labels" . | nindent 4 }}
    {{- range .root.Values.upstreams }}
    rapport.dev/calls-{{ . }}: "true"
    {{- end }}
  {{- with .root.Values.podAnnotations }}
  annotations: {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  serviceAccountName: {{ include "service.fullname" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: false
  {{- with .root.Values.global.image.pullSecrets }}
  imagePullSecrets: {{- range . }}
    - name: {{ . }}
    {{- end }}
  {{- end }}
  securityContext: {{- include "service.podSecurityContext" . | nindent 4 }}
  terminationGracePeriodSeconds: {{ add .root.Values.shutdownGraceSeconds 10 }}
  {{- if $job }}
  restartPolicy: Never
  {{- else }}
  topologySpreadConstraints:
    {{- range tuple "topology.kubernetes.io/zone" "kubernetes.io/hostname" }}
    - maxSkew: 1
      topologyKey: {{ . }}
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels: {{- include "service.selectorLabels" $ | nindent 10 }}
    {{- end }}
  {{- end }}
  {{- with .root.Values.nodeSelector }}
  nodeSelector: {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .root.Values.tolerations }}
  tolerations: {{- toYaml . | nindent 4 }}
  {{- end }}
  containers:
    - name: {{ .role }}
      image: {{ include "service.image" .root }}
      imagePullPolicy: {{ .root.Values.global.image.pullPolicy }}
      command: {{ dig "command" list $settings | default (list "python" "-m" (include "service.name" .root) .role) | toJson }}
      env: {{- include "service.environment" . | nindent 8 }}
      {{- if not $job }}
      {{- include "service.probes" . | nindent 6 }}
      {{- end }}
      resources: {{- dig "resources" dict $settings | default (get .root.Values.resourcesByRole .role) | default .root.Values.defaultResources | toYaml | nindent 8 }}
      securityContext: {{- include "service.containerSecurityContext" . | nindent 8 }}
      volumeMounts:
        - {name: tmp, mountPath: /tmp}
        {{- if eq .role "relay" }}
        - {name: topology, mountPath: /etc/rapport, readOnly: true}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {sizeLimit: 256Mi}
    {{- if eq .role "relay" }}
    - name: topology
      configMap: {name: {{ .root.Release.Name }}-topology}
    {{- end }}
{{- end -}}

{{/* Ports and probes: gRPC health for serve, HTTP for every other role and for an HTTP serve. */}}
{{- define "service.probes" -}}
{{- $ports := .root.Values.global.ports -}}
{{- $live := dict -}}
{{- $ready := dict -}}
{{- if eq (dig "protocol" "grpc" .settings) "http" -}}
{{- $live = dict "httpGet" (dict "path" "/healthz" "port" (int $ports.http)) -}}
{{- $ready = dict "httpGet" (dict "path" "/readyz" "port" (int $ports.http)) -}}
ports:
  - {name: http, containerPort: {{ $ports.http }}}
{{- else if eq .role "serve" -}}
{{- $live = dict "grpc" (dict "port" (int $ports.grpc) "service" "live") -}}
{{- $ready = dict "grpc" (dict "port" (int $ports.grpc) "service" "ready") -}}
ports:
  - {name: grpc, containerPort: {{ $ports.grpc }}}
{{- else -}}
{{- $live = dict "httpGet" (dict "path" "/livez" "port" (int $ports.probe)) -}}
{{- $ready = dict "httpGet" (dict "path" "/readyz" "port" (int $ports.probe)) -}}
ports:
  - {name: probe, containerPort: {{ $ports.probe }}}
{{- end }}
# A process that starts may wait a minute or two for its stores; only then is it taken for stuck.
startupProbe: {{- merge (dict "periodSeconds" 2 "timeoutSeconds" 2 "failureThreshold" 60) $live | toYaml | nindent 2 }}
livenessProbe: {{- merge (dict "periodSeconds" 10 "timeoutSeconds" 5 "failureThreshold" 3) $live | toYaml | nindent 2 }}
readinessProbe: {{- merge (dict "periodSeconds" 5 "timeoutSeconds" 3 "failureThreshold" 2) $ready | toYaml | nindent 2 }}
{{- end -}}

{{/* Egress rule for {port, to}; no `to` means anywhere. */}}
{{- define "service.egressRule" -}}
- ports: [{port: {{ .port }}}]
  {{- with .to }}
  to: {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
