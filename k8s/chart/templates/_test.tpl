{{- define "fibcgi.testLabels" -}}
{{ include "fibcgi.selectorLabels" . }}
app.kubernetes.io/component: test
{{- end }}

{{/* A pod of helm test. root; name; url, which is asked for; expect: what the answer has to have in it. */}}
{{- define "fibcgi.testPod" }}
apiVersion: v1
kind: Pod
metadata:
  name: {{ include "fibcgi.fullname" .root }}-test-{{ .name }}
  labels:
    {{- include "fibcgi.labels" .root | nindent 4 }}
    app.kubernetes.io/component: test
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation
spec:
  restartPolicy: Never
  serviceAccountName: {{ include "fibcgi.serviceAccountName" .root }}
  automountServiceAccountToken: false
  enableServiceLinks: true
  {{- range $key := list "imagePullSecrets" "nodeSelector" "tolerations" }}
  {{- with index $.root.Values $key }}
  {{ $key }}:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: {{ .name }}
      image: {{ include "fibcgi.image" (dict "image" .root.Values.responder.image "root" .root) }}
      imagePullPolicy: {{ .root.Values.responder.image.pullPolicy }}
      args: [--probe, {{ .url | quote }}, --expect, {{ .expect | quote }}]
      resources:
        limits: {cpu: 100m, memory: 16Mi}
      securityContext:
        {{- include "fibcgi.containerSecurity" (dict "root" .root "user" .root.Values.responder.user) | nindent 8 }}
{{- end }}

{{/* Not empty where an application of one's own has a number of workers of its own: one that waits for others. */}}
{{- define "fibcgi.workersAreSet" -}}
{{- range .Values.responder.extraEnv }}{{ if eq .name "FIBCGI_WORKERS" }}yes{{ end }}{{ end }}
{{- end }}
