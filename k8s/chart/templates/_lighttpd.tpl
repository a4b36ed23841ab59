{{/* lighttpd's container. Its probes open a connection and no more: the kernel answers them also when lighttpd is at its
     limit of connections. SIGINT, which the image names as its stop signal, lets it end what it has. */}}
{{- define "fibcgi.lighttpd" -}}
{{- $own := .Values.lighttpd -}}
name: lighttpd
image: {{ include "fibcgi.image" (dict "image" $own.image "root" .) }}
imagePullPolicy: {{ $own.image.pullPolicy }}
{{- if eq .Values.topology "lighttpdSidecar" }}
restartPolicy: Always
{{- end }}
env:
  - name: FIBCGI_HTTP_BIND
    value: {{ ternary "[::]" "" (eq .Values.ipFamily "IPv6") | quote }}
  - name: FIBCGI_HTTP_PORT
    value: "8080"
  - name: FIBCGI_SOCKET
    value: /run/fibcgi/fib.sock
  - name: FIBCGI_ADMIN_SOCKET
    value: /run/fibcgi/admin.sock
  - name: FIBCGI_ACCESS_LOG
    value: {{ ternary "/dev/stderr" "" $own.accessLog | quote }}
{{- with $own.extraEnv }}
{{- toYaml . | nindent 2 }}
{{- end }}
ports:
  - name: http
    containerPort: 8080
    {{- with .Values.hostPort }}
    hostPort: {{ . }}
    {{- end }}
{{- include "fibcgi.containerResources" (dict "root" . "name" "lighttpd") }}
{{- if and .Values.probes.enabled (not .Values.podman) }}
startupProbe:
  tcpSocket: {port: http}
  {{- toYaml .Values.probes.startup | nindent 2 }}
readinessProbe:
  tcpSocket: {port: http}
  {{- toYaml .Values.probes.readiness | nindent 2 }}
livenessProbe:
  tcpSocket: {port: http}
  {{- toYaml .Values.probes.liveness | nindent 2 }}
{{- end }}
{{- if ne .Values.topology "lighttpdSidecar" }}
{{- with include "fibcgi.endpointsSeconds" . | int }}
lifecycle:
  preStop:
    sleep: {seconds: {{ . }}}
{{- end }}
{{- end }}
securityContext:
  {{- include "fibcgi.containerSecurity" (dict "root" . "user" $own.user) | nindent 2 }}
# To connect to a socket needs no writing to its folder.
volumeMounts:
  - name: {{ include "fibcgi.fullname" . }}-sockets
    mountPath: /run/fibcgi
    readOnly: true
{{- with $own.extraVolumeMounts }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
