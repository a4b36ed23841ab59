{{/* Names */}}
{{- define "fibcgi.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "fibcgi.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride }}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" }}
{{- else if contains $name .Release.Name }}
{{- .Release.Name | trunc 55 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 55 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "fibcgi.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "fibcgi.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* What an object is chosen by; it never changes. */}}
{{- define "fibcgi.selectorLabels" -}}
app.kubernetes.io/name: {{ include "fibcgi.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "fibcgi.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "fibcgi.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.labels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* image: a dict with registry, repository, tag, digest; root. */}}
{{- define "fibcgi.image" -}}
{{- $name := printf "%s/%s" .image.registry .image.repository | trimPrefix "/" -}}
{{- if .image.digest }}{{ $name }}@{{ .image.digest }}{{ else }}{{ $name }}:{{ .image.tag | default .root.Chart.AppVersion }}{{ end }}
{{- end }}

{{/* Milli-CPU of a quantity: 500m, 2, 1.5. */}}
{{- define "fibcgi.milli" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text }}{{ trimSuffix "m" $text }}{{ else }}{{ round (mulf (float64 $text) 1000) 0 | int }}{{ end }}
{{- end }}

{{/* lighttpd's part of so many milli-CPU, rounded up: the kernel has no quota below 10m. */}}
{{- define "fibcgi.lighttpdMilli" -}}
{{- max 10 (div (add (mul (int .milli) (int .share)) 99) 100) }}
{{- end }}

{{/* Resources of a container, as YAML: what is derived, and over it what its values say;
     null there takes a limit away. name: responder or lighttpd. */}}
{{- define "fibcgi.resources" -}}
{{- $values := .root.Values -}}
{{- $own := index $values .name -}}
{{- $derived := dict -}}
{{- if eq $values.resourcesLevel "container" }}
{{- range $kind, $cpu := dict "limits" $values.cpu "requests" ($values.cpuRequest | default $values.cpu) }}
{{- $total := include "fibcgi.milli" $cpu | int }}
{{- $part := include "fibcgi.lighttpdMilli" (dict "milli" $total "share" $values.lighttpd.cpuShare) | int }}
{{- if eq $.name "responder" }}{{ $part = sub $total $part }}{{ end }}
{{- $_ := set $derived $kind (dict "cpu" (printf "%dm" (int $part)) "memory" $own.memory) }}
{{- end }}
{{- end }}
{{- $merged := mergeOverwrite $derived (deepCopy $own.resources) -}}
{{- range $kind, $_ := $merged }}
{{- range $resource, $quantity := . }}
{{- if kindIs "invalid" $quantity }}{{ $_ := unset (index $merged $kind) $resource }}{{ end }}
{{- end }}
{{- end }}
{{- toYaml $merged }}
{{- end }}

{{/* Resources of the pod where they are the pod's. */}}
{{- define "fibcgi.podResources" -}}
{{- $memory := printf "%dMi" (add (include "fibcgi.mebibytes" .Values.responder.memory | int) (include "fibcgi.mebibytes" .Values.lighttpd.memory | int)) -}}
limits:
  cpu: {{ .Values.cpu | quote }}
  memory: {{ $memory }}
requests:
  cpu: {{ .Values.cpuRequest | default .Values.cpu | quote }}
  memory: {{ $memory }}
{{- end }}

{{- define "fibcgi.mebibytes" -}}
{{- if hasSuffix "Gi" . }}{{ mul 1024 (trimSuffix "Gi" . | int) }}{{ else }}{{ trimSuffix "Mi" . | int }}{{ end }}
{{- end }}

{{/* CPU limit of the responder's cgroup in milli-CPU, and the number of workers that the pool makes of it. */}}
{{- define "fibcgi.responderMilli" -}}
{{- $limit := include "fibcgi.resources" (dict "root" . "name" "responder") | fromYaml | dig "limits" "cpu" "" -}}
{{- include "fibcgi.milli" ($limit | default .Values.cpu) }}
{{- end }}

{{- define "fibcgi.workers" -}}
{{- div (add (include "fibcgi.responderMilli" . | int) 999) 1000 }}
{{- end }}

{{/* Shutdown, in seconds. lighttpd's own two are in conf/lighttpd/fibcgi.conf: server.graceful-shutdown-timeout and
     server.max-keep-alive-idle; tests/45-chart.bats compares them. */}}
{{- define "fibcgi.lighttpdSeconds" -}}10{{- end }}
{{- define "fibcgi.idleSeconds" -}}5{{- end }}

{{/* Until the endpoints have gone everywhere. */}}
{{- define "fibcgi.endpointsSeconds" -}}
{{- if kindIs "invalid" .Values.shutdown.endpointsSeconds -}}
{{- div .Values.shutdown.graceSeconds 10 | max 2 | min 10 }}
{{- else }}{{ .Values.shutdown.endpointsSeconds }}{{ end }}
{{- end }}

{{/* The responder's preStop: only where it has to outlast kept connections without lighttpd's help. */}}
{{- define "fibcgi.responderWaitSeconds" -}}
{{- if eq .Values.topology "lighttpdSidecar" -}}
{{- add (include "fibcgi.endpointsSeconds" .) (include "fibcgi.idleSeconds" .) }}
{{- else }}0{{ end }}
{{- end }}

{{/* What of the grace period has passed, at most, before the responder's SIGTERM, or has to be left to lighttpd after it:
     nothing among two ordinary containers. */}}
{{- define "fibcgi.elsewhereSeconds" -}}
{{- if eq .Values.topology "responderSidecar" -}}
{{- add (include "fibcgi.endpointsSeconds" .) (include "fibcgi.lighttpdSeconds" .) }}
{{- else if eq .Values.topology "lighttpdSidecar" -}}
{{- add (include "fibcgi.responderWaitSeconds" .) (include "fibcgi.lighttpdSeconds" .) }}
{{- else }}0{{ end }}
{{- end }}

{{/* The responder's own bound, 2 s before the end, so that it ends by itself. */}}
{{- define "fibcgi.drainSeconds" -}}
{{- sub .Values.shutdown.graceSeconds (add 2 (include "fibcgi.elsewhereSeconds" .)) }}
{{- end }}

{{- define "fibcgi.containerSecurity" -}}
runAsUser: {{ .user }}
runAsGroup: {{ .root.Values.group }}
runAsNonRoot: true
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
