{{/* Environment of one role's container; every name is RAPPORT_<field of the service's settings>. dict "root" "role" "settings" */}}
{{- define "service.environment" -}}
{{- $root := .root -}}
{{- $global := .root.Values.global -}}
{{- $service := include "service.name" .root -}}
- {name: RAPPORT_SERVICE, value: {{ $service }}}
- {name: RAPPORT_ROLE, value: {{ .role }}}
- {name: RAPPORT_VERSION, value: {{ include "service.imageTag" .root | quote }}}
- name: RAPPORT_INSTANCE
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: RAPPORT_ENVIRONMENT, value: {{ $global.environment }}}
- {name: RAPPORT_LOG_LEVEL, value: {{ $global.logLevel }}}
- {name: RAPPORT_BIND_HOST, value: {{ include "service.bindAddress" . | quote }}}
{{- if eq (dig "protocol" "grpc" .settings) "http" }}
- {name: RAPPORT_HTTP_PORT, value: {{ $global.ports.http | quote }}}
{{- else if eq .role "serve" }}
- {name: RAPPORT_GRPC_PORT, value: {{ $global.ports.grpc | quote }}}
{{- else if ne .role "migrate" }}
- {name: RAPPORT_PROBE_PORT, value: {{ $global.ports.probe | quote }}}
{{- end }}
- {name: RAPPORT_SHUTDOWN_GRACE_S, value: {{ .root.Values.shutdownGraceSeconds | quote }}}
- name: RAPPORT_KEYS
  valueFrom: {secretKeyRef: {name: {{ include "service.sharedSecretName" .root }}, key: keys}}
{{- if .root.Values.database }}
- {name: RAPPORT_DATABASE, value: {{ $service }}}
- name: RAPPORT_MONGODB_URI
  valueFrom: {secretKeyRef: {name: {{ include "service.secretName" .root }}, key: mongodb-uri}}
{{- end }}
{{- if has .role (list "work" "relay" "run") }}
- name: RAPPORT_AMQP_URI
  valueFrom: {secretKeyRef: {name: {{ include "service.sharedSecretName" .root }}, key: amqp-uri}}
{{- end }}
{{- if eq .role "relay" }}
- {name: RAPPORT_TOPOLOGY_FILE, value: /etc/rapport/topology.json}
{{- end }}
{{- with .root.Values.upstreams }}
{{- $targets := dict }}
{{- range . }}{{- $_ := set $targets . (include "service.target" (dict "root" $root "service" .)) }}{{- end }}
- {name: RAPPORT_UPSTREAMS, value: {{ $targets | toJson | quote }}}
{{- end }}
{{- with $global.otlpEndpoint }}
- {name: RAPPORT_OTLP_ENDPOINT, value: {{ . | quote }}}
{{- end }}
{{- with $global.blobUrl }}
- {name: RAPPORT_BLOB_URL, value: {{ . | quote }}}
{{- end }}
{{- with $global.clockFile }}
- {name: RAPPORT_CLOCK_FILE, value: {{ . | quote }}}
{{- end }}
{{- $extra := merge (dict) (dig "env" dict .settings) .root.Values.env }}
{{- range $name, $value := $extra }}
- {name: {{ $name }}, value: {{ tpl ($value | toString) $root | quote }}}
{{- end }}
{{- $role := .role }}
{{- range $name, $source := .root.Values.secretEnv }}
{{- if or (not $source.roles) (has $role $source.roles) }}
- name: {{ $name }}
  valueFrom:
    secretKeyRef: {name: {{ include "service.secretName" $root }}, key: {{ $source.key }}, optional: {{ dig "optional" false $source }}}
{{- end }}
{{- end }}
- {name: TMPDIR, value: /tmp}
{{- end -}}
