{{/* The responder's container. */}}
{{- define "fibcgi.responder" -}}
{{- $own := .Values.responder -}}
name: responder
image: {{ include "fibcgi.image" (dict "image" $own.image "root" .) }}
imagePullPolicy: {{ $own.image.pullPolicy }}
{{- if eq .Values.topology "responderSidecar" }}
restartPolicy: Always
{{- end }}
env:
  - name: FIBCGI_LISTEN
    value: unix:/run/fibcgi/fib.sock,unix:/run/fibcgi/fib.sock.2
  - name: FIBCGI_ADMIN_LISTEN
    value: unix:/run/fibcgi/admin.sock
  - name: FIBCGI_ADMIN_HTTP
    value: {{ printf "tcp:%s:9180" (ternary "[::]" "0.0.0.0" (eq .Values.ipFamily "IPv6")) }}
  - name: FIBCGI_DRAIN_TIMEOUT
    value: {{ include "fibcgi.drainSeconds" . }}s
{{- if eq .Values.topology "containers" }}
  - name: FIBCGI_DRAIN_AFTER
    value: "8080"
{{- end }}
  - name: FIBCGI_MAX_KEPT_SIZE
    value: {{ mul 256 (include "fibcgi.mebibytes" $own.memory | int) }}K
{{- with $own.extraEnv }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- if not .Values.podman }}
ports:
  - name: admin
    containerPort: 9180
{{- end }}
{{- include "fibcgi.containerResources" (dict "root" . "name" "responder") }}
{{- if and .Values.probes.enabled (not .Values.podman) }}
startupProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml .Values.probes.startup | nindent 2 }}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
livenessProbe:
  httpGet: {path: /healthz, port: admin}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
{{- end }}
{{- with include "fibcgi.responderWaitSeconds" . | int }}
lifecycle:
  preStop:
    sleep: {seconds: {{ . }}}
{{- end }}
securityContext:
  {{- include "fibcgi.containerSecurity" (dict "root" . "user" $own.user) | nindent 2 }}
volumeMounts:
  - name: {{ include "fibcgi.fullname" . }}-sockets
    mountPath: /run/fibcgi
{{- with $own.extraVolumeMounts }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* A change of the CPU limit restarts no container. Kubernetes takes the field in a sidecar since 1.33, and has the same as
     its default. */}}
{{- define "fibcgi.containerResources" }}
{{- $resources := include "fibcgi.resources" . }}
{{- if ne $resources "{}" }}
resources:
  {{- $resources | nindent 2 }}
{{- end }}
{{- if or (ne .root.Values.topology (printf "%sSidecar" .name)) (semverCompare ">=1.33.0-0" .root.Capabilities.KubeVersion.Version) }}
resizePolicy:
  - resourceName: cpu
    restartPolicy: NotRequired
{{- end }}
{{- end }}
