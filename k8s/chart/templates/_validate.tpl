{{/* What a schema can say only in the terms of schemas, or not at all: each refusal is a sentence with what to write
     instead. */}}
{{- define "fibcgi.validate" -}}
{{- include "fibcgi.validateCpu" . }}
{{- include "fibcgi.validateContainers" . }}
{{- include "fibcgi.validateShares" . }}
{{- include "fibcgi.validateShutdown" . }}
{{- include "fibcgi.validateScaling" . }}
{{- include "fibcgi.validateNetwork" . }}
{{- end }}

{{/* name, value: a quantity of CPU. */}}
{{- define "fibcgi.validateQuantity" -}}
{{- if not (regexMatch "^([0-9]+m|[0-9]+(\\.[0-9]{1,3})?)$" (toString .value)) }}
{{- fail (printf "%s is %q: write a quantity of CPU such as 500m, 2 or 1.5." .name (toString .value)) }}
{{- end }}
{{- end }}

{{- define "fibcgi.validateCpu" -}}
{{- $values := .Values }}
{{- include "fibcgi.validateQuantity" (dict "name" "cpu" "value" $values.cpu) }}
{{- $total := include "fibcgi.milli" $values.cpu | int }}
{{- if lt $total 20 }}
{{- fail (printf "cpu is %v: two containers need at least 20m, for the kernel has no quota below 10m." $values.cpu) }}
{{- end }}
{{- if $values.cpuRequest }}
{{- include "fibcgi.validateQuantity" (dict "name" "cpuRequest" "value" $values.cpuRequest) }}
{{- $request := include "fibcgi.milli" $values.cpuRequest | int }}
{{- if gt $request $total }}
{{- fail (printf "cpuRequest (%v) is more than cpu (%v), the limit: lower it, or leave it out." $values.cpuRequest $values.cpu) }}
{{- else if lt $request 20 }}
{{- fail (printf "cpuRequest is %v: two containers need at least 20m." $values.cpuRequest) }}
{{- end }}
{{- end }}
{{- if and (eq $values.resourcesLevel "pod") (semverCompare "<1.34.0-0" .Capabilities.KubeVersion.Version) }}
{{- fail (printf "resourcesLevel is pod, which Kubernetes knows since 1.34, and this is %s: write container." .Capabilities.KubeVersion.Version) }}
{{- end }}
{{- if or (lt (int $values.lighttpd.cpuShare) 8) (gt (int $values.lighttpd.cpuShare) 50) }}
{{- fail (printf "lighttpd.cpuShare is %v: below 8 percent lighttpd starves and the responder waits for it, above 50 the responder does nothing but wait for its quota; write 8 to 50." $values.lighttpd.cpuShare) }}
{{- end }}
{{- end }}

{{- define "fibcgi.validateContainers" -}}
{{- $set := list "FIBCGI_LISTEN" "FIBCGI_ADMIN_LISTEN" "FIBCGI_ADMIN_HTTP" "FIBCGI_DRAIN_TIMEOUT" "FIBCGI_DRAIN_AFTER" "FIBCGI_MAX_KEPT_SIZE" "FIBCGI_HTTP_BIND" "FIBCGI_HTTP_PORT" "FIBCGI_SOCKET" "FIBCGI_ADMIN_SOCKET" "FIBCGI_ACCESS_LOG" }}
{{- range $name := list "responder" "lighttpd" }}
{{- $own := index $.Values $name }}
{{- if not (regexMatch "^[1-9][0-9]*(Mi|Gi)$" $own.memory) }}
{{- fail (printf "%s.memory is %q: write a number of Mi or Gi, such as 64Mi." $name $own.memory) }}
{{- end }}
{{- if lt (include "fibcgi.mebibytes" $own.memory | int) 16 }}
{{- fail (printf "%s.memory is %s: below 16Mi a burst of requests gets it killed." $name $own.memory) }}
{{- end }}
{{- if and $own.image.digest (not (regexMatch "^sha256:[0-9a-f]{64}$" $own.image.digest)) }}
{{- fail (printf "%s.image.digest is %q: a digest is sha256: and 64 hexadecimal digits." $name $own.image.digest) }}
{{- end }}
{{- if lt (int $own.user) 1 }}
{{- fail (printf "%s.user is %v: root is not what this runs as; write a number above 0." $name $own.user) }}
{{- end }}
{{- range $own.extraEnv }}
{{- if has .name $set }}
{{- fail (printf "%s.extraEnv has %s, which the chart sets by itself: see the chart's README for the value that it follows." $name .name) }}
{{- end }}
{{- end }}
{{- end }}
{{- if eq (int .Values.responder.user) (int .Values.lighttpd.user) }}
{{- fail (printf "responder.user and lighttpd.user are both %v: let them differ, so that neither can reach into the other." .Values.responder.user) }}
{{- end }}
{{- if lt (int .Values.group) 1 }}
{{- fail (printf "group is %v: write a number above 0." .Values.group) }}
{{- end }}
{{- range .Values.extraVolumes }}
{{- if eq .name (printf "%s-sockets" (include "fibcgi.fullname" $)) }}
{{- fail (printf "extraVolumes has %s, the chart's own volume: give yours another name." .name) }}
{{- end }}
{{- end }}
{{- end }}

{{/* Where values of a container's own replace what is derived, lighttpd's part still has to do. */}}
{{- define "fibcgi.validateShares" -}}
{{- $lighttpd := include "fibcgi.resources" (dict "root" . "name" "lighttpd") | fromYaml | dig "limits" "cpu" "" }}
{{- $responder := include "fibcgi.resources" (dict "root" . "name" "responder") | fromYaml | dig "limits" "cpu" "" }}
{{- if and $lighttpd $responder }}
{{- include "fibcgi.validateQuantity" (dict "name" "lighttpd.resources.limits.cpu" "value" $lighttpd) }}
{{- include "fibcgi.validateQuantity" (dict "name" "responder.resources.limits.cpu" "value" $responder) }}
{{- $part := include "fibcgi.milli" $lighttpd | int }}
{{- $all := add $part (include "fibcgi.milli" $responder | int) }}
{{- if lt (mul 100 $part) (mul 8 $all) }}
{{- fail (printf "lighttpd's CPU limit (%v) is below 8 percent of both containers' (responder: %v): lighttpd starves and the responder waits for it. Raise lighttpd.resources.limits.cpu, or set cpu alone and leave the parts to the chart." $lighttpd $responder) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "fibcgi.validateShutdown" -}}
{{- $grace := int .Values.shutdown.graceSeconds }}
{{- $least := add 3 (include "fibcgi.endpointsSeconds" .) (include "fibcgi.lighttpdSeconds" .) }}
{{- if eq .Values.topology "lighttpdSidecar" }}
{{- $least = add $least (include "fibcgi.idleSeconds" .) }}
{{- end }}
{{- if lt (include "fibcgi.endpointsSeconds" . | int) 0 }}
{{- fail (printf "shutdown.endpointsSeconds is %v: write 0 or more." .Values.shutdown.endpointsSeconds) }}
{{- end }}
{{- if lt $grace (int $least) }}
{{- fail (printf "shutdown.graceSeconds is %d: with %s s until the endpoints have gone and lighttpd's %s s for running requests it has to be at least %d." $grace (include "fibcgi.endpointsSeconds" .) (include "fibcgi.lighttpdSeconds" .) $least) }}
{{- end }}
{{- end }}

{{- define "fibcgi.validateScaling" -}}
{{- $scaling := .Values.autoscaling }}
{{- if lt (int .Values.replicas) 0 }}
{{- fail (printf "replicas is %v: write 0 or more." .Values.replicas) }}
{{- end }}
{{- if and $scaling.enabled (lt (int $scaling.minReplicas) 1) }}
{{- fail (printf "autoscaling.minReplicas is %v: write 1 or more." $scaling.minReplicas) }}
{{- end }}
{{- if and $scaling.enabled (gt (int $scaling.minReplicas) (int $scaling.maxReplicas)) }}
{{- fail (printf "autoscaling.minReplicas (%v) is more than autoscaling.maxReplicas (%v)." $scaling.minReplicas $scaling.maxReplicas) }}
{{- end }}
{{- if and $scaling.enabled (or (lt (int $scaling.cpuPercent) 1) (gt (int $scaling.cpuPercent) 95)) }}
{{- fail (printf "autoscaling.cpuPercent is %v: the limit cuts off at 100, so that nothing above 95 is ever seen; write 1 to 95." $scaling.cpuPercent) }}
{{- end }}
{{- if and .Values.podDisruptionBudget.enabled (has (toString .Values.podDisruptionBudget.maxUnavailable) (list "0" "0%")) }}
{{- fail "podDisruptionBudget.maxUnavailable is 0: no node could ever be drained; write 1, or a percentage." }}
{{- end }}
{{- end }}

{{- define "fibcgi.validateNetwork" -}}
{{- if or (lt (int .Values.service.port) 1) (gt (int .Values.service.port) 65535) }}
{{- fail (printf "service.port is %v: write 1 to 65535." .Values.service.port) }}
{{- end }}
{{- if and .Values.service.nodePort (eq .Values.service.type "ClusterIP") }}
{{- fail (printf "service.nodePort is %v and service.type is ClusterIP, which has none: write NodePort or LoadBalancer." .Values.service.nodePort) }}
{{- end }}
{{- if and .Values.ingress.enabled (not .Values.ingress.hosts) }}
{{- fail "ingress.enabled is true and ingress.hosts is empty: name at least one host." }}
{{- end }}
{{- if and .Values.httpRoute.enabled (not .Values.httpRoute.parentRefs) }}
{{- fail "httpRoute.enabled is true and httpRoute.parentRefs is empty: name the Gateway that the route hangs on, such as [{name: public, namespace: gateways}]." }}
{{- end }}
{{- if and .Values.serviceMonitor.enabled .Values.networkPolicy.enabled (not .Values.networkPolicy.adminFrom) }}
{{- fail "serviceMonitor.enabled is true, and networkPolicy.adminFrom lets nobody reach the metrics: name your Prometheus there." }}
{{- end }}
{{- if and .Values.podman (ne .Values.topology "containers") }}
{{- fail (printf "podman is true and topology is %s: podman has no native sidecars; write containers." .Values.topology) }}
{{- end }}
{{- if and .Values.podman (eq .Values.resourcesLevel "pod") }}
{{- fail "podman is true and resourcesLevel is pod: podman does not read a pod's own limits; write container." }}
{{- end }}
{{- if not (hasPrefix "/" .Values.test.path) }}
{{- fail (printf "test.path is %q: a path begins with /." .Values.test.path) }}
{{- end }}
{{- end }}
