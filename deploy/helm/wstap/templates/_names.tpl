{{- define "wstap.name" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name }}{{ else }}{{ .Release.Name }}-{{ .Chart.Name }}{{ end }}
{{- end }}

{{- define "wstap.selector" -}}
app.kubernetes.io/name: wstap
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "wstap.labels" -}}
{{ include "wstap.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "wstap.config" -}}
metrics-addr = {{ printf "%s:9843" .Values.listenAddress | toJson }}
cgroup = "/host/cgroup"
socket = "/run/wstap/agent/tail.sock"
max-paths = {{ .Values.maxPaths }}
{{- with .Values.events }}
events = {{ . | quote }}
{{- end }}
workload-labels = {{ .Values.workloadLabels }}
{{- if .Values.podNames.enabled }}
cri-socket = {{ printf "/host/runtime/%s" (base .Values.podNames.criSocket) | toJson }}
{{- with .Values.podNames.labels }}
pod-labels = {{ toJson . }}
{{- end }}
{{- end }}
{{- with .Values.allowOrigins }}
allow-origin = {{ toJson . }}
{{- end }}
{{- with .Values.extraConfig }}
{{ . }}
{{- end }}
{{- end }}
