{{- define "fibcgi.testLabels" -}}
{{ include "fibcgi.selectorLabels" . }}
app.kubernetes.io/component: test
{{- end }}

{{- define "fibcgi.testContainer" -}}
image: {{ include "fibcgi.image" (dict "image" .Values.responder.image "root" .) }}
imagePullPolicy: {{ .Values.responder.image.pullPolicy }}
resources:
  limits: {cpu: 100m, memory: 16Mi}
securityContext:
  {{- include "fibcgi.containerSecurity" (dict "root" . "user" .Values.responder.user) | nindent 2 }}
{{- end }}

{{/* Not empty where an application of one's own has a number of workers of its own: one that waits for others. */}}
{{- define "fibcgi.workersAreSet" -}}
{{- range .Values.responder.extraEnv }}{{ if eq .name "FIBCGI_WORKERS" }}yes{{ end }}{{ end }}
{{- end }}
