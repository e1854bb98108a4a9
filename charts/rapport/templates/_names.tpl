{{/* Labels of what belongs to the platform and to no service. dict "root" $ "component" "topology" */}}
{{- define "rapport.selectorLabels" -}}
app.kubernetes.io/name: rapport
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "rapport.labels" -}}
{{ include "rapport.selectorLabels" . }}
app.kubernetes.io/part-of: rapport
app.kubernetes.io/version: {{ include "rapport.imageTag" .root | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{- define "rapport.imageTag" -}}
{{- dig "image" "tag" "" .Values.global | default .Chart.AppVersion -}}
{{- end -}}

{{/* Image of one of the services. dict "root" $ "service" "identity" */}}
{{- define "rapport.image" -}}
{{- printf "%s/%s:%s" (dig "image" "registry" "rapport" .root.Values.global) .service (include "rapport.imageTag" .root) -}}
{{- end -}}
