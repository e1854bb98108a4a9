{{/* Name of the service: the alias it was installed under, or the value `name`. */}}
{{- define "service.name" -}}
{{- $name := default .Chart.Name .Values.name -}}
{{- if eq $name "service" -}}{{- fail "set `name` to the service's name when charts/service is installed alone" -}}{{- end -}}
{{- $name -}}
{{- end -}}

{{/* <release>-<service>: prefix of every object's name, and the DNS name of its serve role. */}}
{{- define "service.fullname" -}}
{{- printf "%s-%s" .Release.Name (include "service.name" .) | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "service.imageTag" -}}
{{- .Values.image.tag | default .Values.global.image.tag | default .Chart.AppVersion -}}
{{- end -}}

{{- define "service.image" -}}
{{- $repository := .Values.image.repository | default (printf "%s/%s" .Values.global.image.registry (include "service.name" .)) -}}
{{- printf "%s:%s" $repository (include "service.imageTag" .) -}}
{{- end -}}

{{/* Labels that never change: what selectors use. dict "root" $ "role" "serve" */}}
{{- define "service.selectorLabels" -}}
app.kubernetes.io/name: {{ include "service.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .role }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end -}}

{{- define "service.labels" -}}
{{ include "service.selectorLabels" . }}
app.kubernetes.io/part-of: rapport
app.kubernetes.io/version: {{ include "service.imageTag" .root | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Roles that run, as JSON: {"serve": {...}}. */}}
{{- define "service.roles" -}}
{{- $roles := dict -}}
{{- range $role, $settings := .Values.roles -}}
{{- $settings = $settings | default dict -}}
{{- if dig "enabled" true $settings -}}{{- $_ := set $roles $role $settings -}}{{- end -}}
{{- end -}}
{{- $roles | toJson -}}
{{- end -}}

{{/* How many pods of a role there are at least. dict "settings" */}}
{{- define "service.minimumReplicas" -}}
{{- if dig "autoscaling" "enabled" false .settings -}}
{{- dig "autoscaling" "minReplicas" 2 .settings -}}
{{- else if dig "keda" "enabled" false .settings -}}
{{- dig "keda" "minReplicas" 1 .settings -}}
{{- else -}}
{{- dig "replicas" 1 .settings -}}
{{- end -}}
{{- end -}}

{{/*
The one place that knows addresses. dict "root" $ "workload" "identity-serve" ("" when pods have their own address).
*/}}
{{- define "service.ownAddress" -}}
{{- get .root.Values.global.addresses .workload | default "" -}}
{{- end -}}

{{/* Address a role binds to. dict "root" $ "role" "serve" */}}
{{- define "service.bindAddress" -}}
{{- $workload := printf "%s-%s" (include "service.name" .root) .role -}}
{{- include "service.ownAddress" (dict "root" .root "workload" $workload) | default "0.0.0.0" -}}
{{- end -}}

{{/* gRPC target of another service. dict "root" $ "service" "identity" */}}
{{- define "service.target" -}}
{{- $own := include "service.ownAddress" (dict "root" .root "workload" (printf "%s-serve" .service)) -}}
{{- $host := $own | default (printf "%s-%s" .root.Release.Name .service | trunc 50 | trimSuffix "-") -}}
{{- printf "dns:///%s:%d" $host (int .root.Values.global.ports.grpc) -}}
{{- end -}}

{{/* Name of the Secret with the service's own keys. */}}
{{- define "service.secretName" -}}
{{- if .Values.secrets.existingSecret -}}
{{- .Values.secrets.existingSecret -}}
{{- else if .Values.secrets.values -}}
{{- include "service.fullname" . -}}
{{- else -}}
{{- fail (printf "%s.secrets.existingSecret: name the Secret that holds %s" (include "service.name" .) (include "service.secretKeys" . | trim)) -}}
{{- end -}}
{{- end -}}

{{- define "service.secretKeys" -}}
{{- $keys := list -}}
{{- if .Values.database -}}{{- $keys = append $keys "mongodb-uri" -}}{{- end -}}
{{- range .Values.secretEnv -}}{{- $keys = append $keys .key -}}{{- end -}}
{{- join ", " $keys -}}
{{- end -}}

{{/* Name of the Secret with the keyring and the broker's address. */}}
{{- define "service.sharedSecretName" -}}
{{- if .Values.global.secrets.existingSecret -}}
{{- .Values.global.secrets.existingSecret -}}
{{- else if .Values.global.secrets.values -}}
{{- printf "%s-shared" .Release.Name -}}
{{- else -}}
{{- fail "global.secrets.existingSecret: name the Secret that holds keys (python -m chassis.keys new) and amqp-uri" -}}
{{- end -}}
{{- end -}}
