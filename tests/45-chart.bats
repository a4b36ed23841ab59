#!/usr/bin/env bats
# The chart, without a cluster: what is rendered is valid for several releases of Kubernetes, follows from the one value, and
# what cannot work is refused with a sentence.

bats_require_minimum_version 1.5.0
load helpers/common

CHART=$REPO/k8s/chart
# The oldest that the chart takes, those at which what it may use has changed, and the newest of which there are schemas.
RELEASES=(1.30 1.33 1.34 1.37)

setup_file() {
    HELM=$("$REPO/.ci/need-program" helm3)
    HELM4=$("$REPO/.ci/need-program" helm4)
    KUSTOMIZE=$("$REPO/.ci/need-program" kustomize)
    PODCHECK=$("$REPO/.ci/need-program" podcheck)
    PYTHON=$("$REPO/.ci/need-python" "$REPO/tests/fixtures/validate.txt")
    export HELM HELM4 KUSTOMIZE PODCHECK PYTHON
    render_all "$BATS_FILE_TMPDIR"
}

# render [HELM OPTION…]: the manifests of a release called fib.
render() { "$HELM" template fib "$CHART" "$@"; }

# Each values file of ci/ for each release that has what it asks for, as FOLDER/NAME@RELEASE.yaml.
render_all() {
    local file release
    for file in "$CHART"/ci/*-values.yaml; do
        for release in "${RELEASES[@]}"; do
            ! grep -q '^resourcesLevel: pod' "$file" || [ "${release#1.}" -ge 34 ] || continue
            render -f "$file" --kube-version "$release" >"$1/$(basename "$file" -values.yaml)@$release.yaml"
        done
    done
}

# query JQ [HELM OPTION…]: what jq finds in the array of rendered objects.
query() {
    local filter=$1
    shift
    render "$@" | "$PYTHON" "$REPO/tests/fixtures/as-json.py" | jq -r "$filter"
}
POD='.[] | select(.kind == "Deployment") | .spec.template.spec'
# Each container, sidecar or not.
CONTAINERS="$POD | ((.initContainers // []) + .containers)[]"
RESPONDER="$CONTAINERS | select(.name == \"responder\")"
LIGHTTPD="$CONTAINERS | select(.name == \"lighttpd\")"
variable() { echo "(.env[] | select(.name == \"$1\") | .value)"; }

same() { [ "$1" = "$2" ] || { printf 'is:     %s\nshould: %s\n' "$1" "$2" >&2; return 1; }; }

@test "the default rendering is as it was: make manifest renews it where it is to change" {
    diff -u "$REPO/tests/fixtures/chart-default.yaml" <(render)
}

@test "every values file in ci/ renders to objects that four releases of Kubernetes accept, no field unknown" {
    run "$PYTHON" "$REPO/tests/fixtures/validate.py" "$BATS_FILE_TMPDIR"/*@*.yaml
    echo "$output"
    [ "$status" -eq 0 ]
    [[ $output == *"releases: 1.30, 1.33, 1.34, 1.37" ]]
    rendered=("$BATS_FILE_TMPDIR"/*@*.yaml)
    [ "${#rendered[@]}" -ge 60 ]
}

@test "a field that a release does not know, or of another type, is found" {
    render | sed 's/enableServiceLinks:/enableServiceLink:/' >"$BATS_TEST_TMPDIR/a@1.34.yaml"
    run ! "$PYTHON" "$REPO/tests/fixtures/validate.py" "$BATS_TEST_TMPDIR/a@1.34.yaml"
    [[ $output == *"'enableServiceLink' was unexpected"* ]]
    render | sed 's/replicas: 2/replicas: two/' >"$BATS_TEST_TMPDIR/b@1.34.yaml"
    run ! "$PYTHON" "$REPO/tests/fixtures/validate.py" "$BATS_TEST_TMPDIR/b@1.34.yaml"
    [[ $output == *"Deployment fib-fibcgi: spec.replicas: 'two' is not of type"* ]]
    # The pod's own resources came with 1.32.
    render --set resourcesLevel=pod >"$BATS_TEST_TMPDIR/c@1.30.yaml"
    run ! "$PYTHON" "$REPO/tests/fixtures/validate.py" "$BATS_TEST_TMPDIR/c@1.30.yaml"
}

@test "every pod, the test's too, holds to the Pod Security Standard restricted, whatever the values" {
    local file
    for file in "$BATS_FILE_TMPDIR"/*@1.37.yaml; do
        "$PODCHECK" <"$file" >"$BATS_TEST_TMPDIR/checked" || { echo "$file" >&2; return 1; }
        [ "$(grep -c 'is restricted' "$BATS_TEST_TMPDIR/checked")" -eq "$(grep -cE '^kind: (Deployment|Pod)$' "$file")" ]
    done
}

@test "a pod that is not restricted is found, and so is a custom resource with an unknown field" {
    run ! "$PODCHECK" < <(render | sed '0,/drop: \[ALL\]/s//add: [NET_RAW]/')
    [[ $output == *'unrestricted capabilities'* ]]
    run ! "$PODCHECK" < <(render --set hostPort=80)
    [[ $output == *'Deployment fib-fibcgi is not restricted'*'hostPort'* ]]
    run ! "$PODCHECK" < <(sed 's/parentRefs:/parents:/' "$BATS_FILE_TMPDIR/gateway@1.37.yaml")
    [[ $output == *'HTTPRoute fib-fibcgi:'*'unknown field "parents"'* ]]
}

@test "HTTPRoute, ServiceMonitor and PrometheusRule have no field that their projects do not know" {
    "$PODCHECK" <"$BATS_FILE_TMPDIR/gateway@1.37.yaml" | grep -qx 'HTTPRoute fib-fibcgi has only known fields'
    "$PODCHECK" <"$BATS_FILE_TMPDIR/monitored@1.37.yaml" | grep -qx 'ServiceMonitor fib-fibcgi has only known fields'
    "$PODCHECK" <"$BATS_FILE_TMPDIR/monitored@1.37.yaml" | grep -qx 'PrometheusRule fib-fibcgi has only known fields'
}

@test "Helm 4 renders the same as Helm 3" {
    local file
    for file in "$CHART"/ci/*-values.yaml; do
        # They part their documents by different empty lines.
        diff -B <(render -f "$file" --kube-version 1.37) <("$HELM4" template fib "$CHART" -f "$file" --kube-version 1.37)
    done
}

@test "the CPU limit is divided without a rest, and the number of workers follows it" {
    local limit total workers
    while read -r limit total workers; do
        same "$(query "[$CONTAINERS | .resources.limits.cpu | rtrimstr(\"m\") | tonumber] | add" --set cpu="$limit")" "$total"
        query '.[] | select(.kind == "Pod") | .spec.containers[] | select(.name == "workers") | .args[3]' --set cpu="$limit" |
            grep -qxF "\"workers_wanted\":$workers,\"workers_up\":$workers,"
    done <<'END'
50m 50 1
500m 500 1
1 1000 1
1500m 1500 2
2 2000 2
4 4000 4
1.5 1500 2
END
}

@test "the number of workers is nowhere set but by the limit" {
    run ! grep -l FIBCGI_WORKERS "$BATS_FILE_TMPDIR"/{default,large,autoscaled,pod-level}@1.37.yaml
    # An application that waits may have its own number; then the test does not ask for the derived one.
    run ! grep -q workers_wanted "$BATS_FILE_TMPDIR/own-images@1.37.yaml"
}

@test "a change of the CPU limit restarts no container" {
    same "$(query "[$CONTAINERS | .resizePolicy[]] | unique | map(.resourceName + \" \" + .restartPolicy) | join(\",\")")" 'cpu NotRequired'
}

@test "with the limits on the pod, its containers have none, and the HPA counts in CPU" {
    local file=$CHART/ci/pod-level-values.yaml
    same "$(query "$POD | .resources | tojson" -f "$file")" \
        '{"limits":{"cpu":"2","memory":"128Mi"},"requests":{"cpu":"250m","memory":"128Mi"}}'
    same "$(query "[$CONTAINERS | .resources] | unique | tojson" -f "$file")" '[null]'
    same "$(query '.[] | select(.kind == "HorizontalPodAutoscaler").spec.metrics[0].containerResource.target | tojson' -f "$file")" \
        '{"type":"AverageValue","averageValue":"1290m"}'
}

@test "the HPA's target is a percentage of the limit, whatever is requested" {
    target() { query '.[] | select(.kind == "HorizontalPodAutoscaler").spec.metrics[0].containerResource.target.averageUtilization' --set autoscaling.enabled=true "$@"; }
    same "$(target)" 75
    same "$(target --set cpu=1,cpuRequest=500m)" 150
    # It decides about the number of pods alone.
    same "$(query '.[] | select(.kind == "Deployment").spec.replicas' --set autoscaling.enabled=true)" null
}

@test "the times of a stop derive from one value, and fit into it, in each shape" {
    local shape grace wait_lighttpd wait_responder drain
    while read -r shape grace wait_lighttpd wait_responder drain; do
        set -- --set "topology=$shape,shutdown.graceSeconds=$grace"
        same "$(query "$POD | .terminationGracePeriodSeconds" "$@")" "$grace"
        same "$(query "$LIGHTTPD | .lifecycle.preStop.sleep.seconds" "$@")" "$wait_lighttpd"
        same "$(query "$RESPONDER | .lifecycle.preStop.sleep.seconds" "$@")" "$wait_responder"
        same "$(query "$RESPONDER | $(variable FIBCGI_DRAIN_TIMEOUT)" "$@")" "$drain"
    done <<'END'
containers 30 3 null 28s
containers 15 2 null 13s
containers 300 10 null 298s
responderSidecar 30 3 null 15s
lighttpdSidecar 30 null 8 10s
END
}

@test "lighttpd's own times are those that the chart counts with" {
    local name seconds
    while read -r name seconds; do
        grep -qF "{{- define \"fibcgi.$name\" -}}$seconds{{- end }}" "$CHART/templates/_helpers.tpl"
    done < <(sed -nE -e 's/^ *"server.graceful-shutdown-timeout" *=> *([0-9]+),.*/lighttpdSeconds \1/p' \
        -e 's/^server.max-keep-alive-idle *= *([0-9]+).*/idleSeconds \1/p' "$REPO/conf/lighttpd/fibcgi.conf" | tee "$BATS_TEST_TMPDIR/times")
    [ "$(wc -l <"$BATS_TEST_TMPDIR/times")" -eq 2 ]
}

@test "each shape has its sidecar, and only two ordinary containers wait for each other by themselves" {
    local shape init after
    while read -r shape init after; do
        same "$(query "$POD | [.initContainers[]? | .name + \"-\" + .restartPolicy] | join(\",\")" --set topology="$shape")" "$init"
        same "$(query "[$RESPONDER | .env[] | select(.name == \"FIBCGI_DRAIN_AFTER\").value] | join(\",\")" --set topology="$shape")" "$after"
    done <<'END'
responderSidecar responder-Always
lighttpdSidecar lighttpd-Always
END
    same "$(query "$POD | .initContainers")" null
    same "$(query "$RESPONDER | $(variable FIBCGI_DRAIN_AFTER)")" "$(query "$LIGHTTPD | .ports[0].containerPort")"
}

@test "no probe waits for the work queue or for a place in lighttpd, and the first comes fast" {
    same "$(query "[$CONTAINERS | .startupProbe, .readinessProbe, .livenessProbe | (.httpGet.path // \"connect\") + \" \" + (.httpGet.port // .tcpSocket.port)] | join(\",\")")" \
        '/readyz admin,/readyz admin,/healthz admin,connect http,connect http,connect http'
    same "$(query "[$CONTAINERS | .startupProbe.periodSeconds] | unique | tojson")" '[1]'
}

@test "the admin port is open to Prometheus and helm test alone, and nothing goes out" {
    local policy='.[] | select(.kind == "NetworkPolicy").spec'
    same "$(query "$policy | [.ingress[] | select(.ports[0].port == \"admin\").from[].podSelector.matchLabels | .[\"app.kubernetes.io/component\"] // .[\"app.kubernetes.io/name\"]] | join(\",\")")" \
        prometheus,test
    same "$(query "$policy | .ingress[] | select(.ports[0].port == \"http\") | has(\"from\")")" false
    same "$(query "$policy | (.policyTypes | tojson) + (.egress | tojson)")" '["Ingress","Egress"][]'
    # Where http has peers, the test is one more.
    same "$(query "$policy | .ingress[] | select(.ports[0].port == \"http\").from | length" -f "$CHART/ci/monitored-values.yaml")" 2
}

@test "no token is mounted, and no Service becomes a variable of a container" {
    same "$(query '.[] | select(.kind == "ServiceAccount").automountServiceAccountToken')" false
    same "$(query "$POD | [.automountServiceAccountToken, .enableServiceLinks] | tojson")" '[false,false]'
}

@test "the containers share a socket's folder in memory, bounded, which lighttpd cannot write to" {
    same "$(query "$POD | .volumes | tojson")" '[{"name":"fib-fibcgi-sockets","emptyDir":{"medium":"Memory","sizeLimit":"1Mi"}}]'
    same "$(query "$LIGHTTPD | .volumeMounts[0].readOnly")" true
    same "$(query "[$CONTAINERS | .securityContext.runAsGroup] + [$POD | .securityContext.fsGroup] | unique | length")" 1
    same "$(query "[$CONTAINERS | .securityContext.runAsUser] | unique | length")" 2
}

@test "every variable that the chart sets is one that the program or lighttpd's configuration knows" {
    local name
    while read -r name; do
        "$FIBCGI" --help | grep -qE "variable $name\$" || { echo "fibcgi does not know $name" >&2; return 1; }
    done < <(query "$RESPONDER | .env[].name")
    same "$(query "$LIGHTTPD | .env[].name" | sort)" \
        "$(grep -oE '^#   FIBCGI_[A-Z_]+' "$REPO/conf/lighttpd/fibcgi.conf" | grep -oE 'FIBCGI.*' | sort)"
}

@test "the pool takes what the chart sets for it, in each shape and family" {
    local file
    for file in default responder-sidecar lighttpd-sidecar ipv6 large; do
        query "$RESPONDER | .env[] | .name + \"=\" + .value" -f "$CHART/ci/$file-values.yaml" >"$BATS_TEST_TMPDIR/env"
        mapfile -t variables <"$BATS_TEST_TMPDIR/env"
        [ "${#variables[@]}" -ge 5 ]
        env "${variables[@]}" "$FIBCGI" -t
    done
}

@test "the chart's version, the images' and the program's are the same" {
    local version
    version=$(sed -n 's/^.define FIBCGI_VERSION "\(.*\)"/\1/p' "$REPO/fcgi/options.h")
    grep -qx "appVersion: $version" "$CHART/Chart.yaml"
    grep -qx "version: $version" "$CHART/Chart.yaml"
    same "$(query "[$CONTAINERS | .image] | join(\" \")")" "localhost/fibcgi:$version localhost/fibcgi-lighttpd:$version"
}

@test "names are short enough, and a release called fibcgi says it once" {
    [ "$(query '[.[] | select(.kind != "Pod").metadata.name | length] | max' --set fullnameOverride="$(printf 'x%.0s' {1..80})")" -le 63 ]
    same "$("$HELM" template fibcgi "$CHART" | sed -n 's/^  name: //p' | sort -u | tr '\n' ' ')" 'fibcgi fibcgi-admin fibcgi-test-answer fibcgi-test-workers '
}

@test "the notes say how to reach it, in each way that there is" {
    # Helm shows them only with a cluster at hand; so they are put into an object of their own.
    cp -r "$CHART" "$BATS_TEST_TMPDIR/chart"
    { printf 'kind: Notes\ntext: |\n  NOTES: ' && sed 's/^/  /' "$CHART/templates/NOTES.txt"; } >"$BATS_TEST_TMPDIR/chart/templates/notes.yaml"
    notes() { "$HELM" template fib "$BATS_TEST_TMPDIR/chart" -n shop -s templates/notes.yaml "$@" >"$BATS_TEST_TMPDIR/notes"; }
    says() { grep -qF -- "$1" "$BATS_TEST_TMPDIR/notes" || { cat "$BATS_TEST_TMPDIR/notes" >&2; return 1; }; }
    notes --set cpu=2
    says '2 pods with a CPU limit of 2, which makes 2 workers each'
    says 'kubectl -n shop port-forward service/fib-fibcgi 8080:80'
    says 'helm -n shop test fib'
    notes -f "$CHART/ci/ingress-values.yaml"
    says 'curl https://fib.example.com/compute'
    notes -f "$CHART/ci/gateway-values.yaml"
    says 'curl http://fib.example.com/compute'
    notes -f "$CHART/ci/load-balancer-values.yaml"
    says 'until it has an EXTERNAL-IP'
}

@test "the plain manifest can be built on with kustomize" {
    mkdir "$BATS_TEST_TMPDIR/mine" "$BATS_TEST_TMPDIR/k8s"
    cp "$REPO/k8s/kustomization.yaml" "$REPO/k8s/fibcgi.yaml" "$BATS_TEST_TMPDIR/k8s"
    cat >"$BATS_TEST_TMPDIR/mine/kustomization.yaml" <<'END'
namespace: shop
namePrefix: my-
resources: [../k8s]
images: [{name: localhost/fibcgi, newName: registry.example.com/fibcgi, newTag: "2"}]
replicas: [{name: fibcgi, count: 4}]
END
    "$KUSTOMIZE" build "$BATS_TEST_TMPDIR/mine" >"$BATS_TEST_TMPDIR/built@1.37.yaml"
    "$PYTHON" "$REPO/tests/fixtures/validate.py" "$BATS_TEST_TMPDIR/built@1.37.yaml"
    "$PODCHECK" <"$BATS_TEST_TMPDIR/built@1.37.yaml"
    "$PYTHON" "$REPO/tests/fixtures/as-json.py" <"$BATS_TEST_TMPDIR/built@1.37.yaml" |
        jq -e '.[] | select(.kind == "Deployment") | .metadata.name == "my-fibcgi" and .metadata.namespace == "shop" and .spec.replicas == 4
            and .spec.template.spec.containers[0].image == "registry.example.com/fibcgi:2"
            and .spec.template.spec.serviceAccountName == "my-fibcgi"'
}

@test "every value has a description, a type in the schema, and no other value is in the schema" {
    "$PYTHON" "$REPO/tests/fixtures/chart-values.py" "$CHART"
}

# What is refused, and the sentence.
refused() {
    local sentence=$1
    shift
    run ! render "$@"
    [[ $output == *"$sentence"* ]] || { printf 'given: %s\nsaid: %s\nnot: %s\n' "$*" "$output" "$sentence" >&2; return 1; }
}

@test "what is unknown or of another type is refused by its name" {
    refused "additional properties 'replica' not allowed" --set replica=3
    refused "at '/responder': additional properties 'cpu' not allowed" --set responder.cpu=1
    refused "at '/lighttpd/image': additional properties 'name' not allowed" --set lighttpd.image.name=x
    refused "at '/topology': value must be one of 'containers', 'responderSidecar', 'lighttpdSidecar'" --set topology=sidecar
    refused "at '/resourcesLevel': value must be one of 'container', 'pod'" --set resourcesLevel=node
    refused "at '/replicas': got string, want integer" --set replicas=two
    refused "at '/service/type': value must be one of" --set service.type=ExternalName
    refused "at '/probes/startup': additional properties 'exec' not allowed" --set probes.startup.exec=x
    refused "at '/responder/extraEnv/0': missing property 'name'" --set 'responder.extraEnv[0].value=x'
    refused "at '/httpRoute/parentRefs/0': missing property 'name'" --set 'httpRoute.parentRefs[0].namespace=x'
}

@test "a CPU limit that cannot be is refused with a sentence" {
    refused 'cpu is "abc": write a quantity of CPU such as 500m, 2 or 1.5.' --set cpu=abc
    refused 'cpu is "": write a quantity' --set-string cpu=
    refused 'cpu is 19m: two containers need at least 20m' --set cpu=19m
    refused 'cpuRequest (1) is more than cpu (500m), the limit: lower it, or leave it out.' --set cpuRequest=1
    refused 'cpuRequest is 5m: two containers need at least 20m.' --set cpuRequest=5m
    refused 'cpuRequest is "some": write a quantity' --set cpuRequest=some
    refused 'resourcesLevel is pod, which Kubernetes knows since 1.34, and this is v1.33: write container.' --set resourcesLevel=pod --kube-version 1.33
    refused 'chart requires kubeVersion: >=1.30.0-0' --kube-version 1.29
}

@test "a part of the CPU in which lighttpd would starve is refused with a sentence" {
    refused 'lighttpd.cpuShare is 7: below 8 percent lighttpd starves' --set lighttpd.cpuShare=7
    refused 'lighttpd.cpuShare is 51: ' --set lighttpd.cpuShare=51
    refused "lighttpd's CPU limit (30m) is below 8 percent of both containers' (responder: 430m)" --set lighttpd.resources.limits.cpu=30m
    refused "lighttpd's CPU limit (70m) is below 8 percent of both containers' (responder: 2)" --set responder.resources.limits.cpu=2
    refused 'lighttpd.resources.limits.cpu is "much": write a quantity' --set lighttpd.resources.limits.cpu=much
    render --set lighttpd.resources.limits.cpu=200m,responder.resources.limits.cpu=2 >/dev/null
}

@test "containers that cannot be are refused with a sentence" {
    refused 'responder.memory is "64M": write a number of Mi or Gi, such as 64Mi.' --set responder.memory=64M
    refused 'lighttpd.memory is 15Mi: below 16Mi a burst of requests gets it killed.' --set lighttpd.memory=15Mi
    refused 'responder.image.digest is "abc": a digest is sha256: and 64 hexadecimal digits.' --set responder.image.digest=abc
    refused 'responder.user is 0: root is not what this runs as' --set responder.user=0
    refused 'responder.user and lighttpd.user are both 65532: let them differ' --set lighttpd.user=65532
    refused 'group is 0: write a number above 0.' --set group=0
    refused 'responder.extraEnv has FIBCGI_LISTEN, which the chart sets by itself' --set 'responder.extraEnv[0].name=FIBCGI_LISTEN'
    refused "extraVolumes has fib-fibcgi-sockets, the chart's own volume" --set 'extraVolumes[0].name=fib-fibcgi-sockets'
}

@test "a stop that does not fit into its time is refused with a sentence" {
    refused 'shutdown.graceSeconds is 14: with 2 s until the endpoints have gone and lighttpd'"'"'s 10 s for running requests it has to be at least 15.' --set shutdown.graceSeconds=14
    refused 'shutdown.graceSeconds is 30: with 20 s until the endpoints have gone' --set shutdown.endpointsSeconds=20
    refused 'it has to be at least 20.' --set topology=lighttpdSidecar,shutdown.graceSeconds=19
    refused 'shutdown.endpointsSeconds is -1: write 0 or more.' --set shutdown.endpointsSeconds=-1
}

@test "values that contradict each other are refused with a sentence" {
    refused 'autoscaling.minReplicas (5) is more than autoscaling.maxReplicas (4).' --set autoscaling.enabled=true,autoscaling.minReplicas=5,autoscaling.maxReplicas=4
    refused 'autoscaling.minReplicas is 0: write 1 or more.' --set autoscaling.enabled=true,autoscaling.minReplicas=0
    refused 'autoscaling.cpuPercent is 100: the limit cuts off at 100' --set autoscaling.enabled=true,autoscaling.cpuPercent=100
    refused 'replicas is -1: write 0 or more.' --set replicas=-1
    refused 'podDisruptionBudget.maxUnavailable is 0: no node could ever be drained' --set podDisruptionBudget.maxUnavailable=0
    refused 'service.nodePort is 30080 and service.type is ClusterIP, which has none' --set service.nodePort=30080
    refused 'service.port is 0: write 1 to 65535.' --set service.port=0
    refused 'ingress.enabled is true and ingress.hosts is empty: name at least one host.' --set ingress.enabled=true
    refused 'httpRoute.enabled is true and httpRoute.parentRefs is empty: name the Gateway' --set httpRoute.enabled=true
    refused 'serviceMonitor.enabled is true, and networkPolicy.adminFrom lets nobody reach the metrics' --set serviceMonitor.enabled=true --set-json 'networkPolicy.adminFrom=[]'
    refused 'test.path is "compute": a path begins with /.' --set test.path=compute
}

@test "podman's values publish one port of the machine, and leave out what podman cannot do" {
    set -- -f "$REPO/k8s/podman-values.yaml"
    same "$(query "[$CONTAINERS | .ports // [] | .[] | [.containerPort, .hostPort]] | tojson" "$@")" '[[8080,8080]]'
    same "$(query "[$CONTAINERS | .livenessProbe, .readinessProbe, .startupProbe] | unique | tojson" "$@")" '[null]'
    same "$(query '.[] | select(.kind == "Deployment").spec.replicas' "$@")" 1
    refused 'podman is true and topology is responderSidecar' "$@" --set topology=responderSidecar
    refused 'podman is true and resourcesLevel is pod' "$@" --set resourcesLevel=pod
}

@test "make k8s-test without a cluster, or without a way to its nodes, says what it needs and how to get it" {
    local folder=$BATS_TEST_TMPDIR
    mkdir "$folder/few"
    ln -s "$(type -P cat)" "$(type -P dirname)" "$folder/few/"
    PATH=$folder/few run /bin/bash "$REPO/tests/k8s/run" --
    [ "$status" -eq 100 ]
    [[ $output == *'there is no kubectl'*'kind create cluster'*'minikube start'* ]]
    printf '#!/bin/sh\necho "The connection to the server was refused" >&2\nexit 1\n' >"$folder/kubectl"
    chmod +x "$folder/kubectl"
    PATH=$folder:$PATH run "$REPO/tests/k8s/run" --
    [ "$status" -eq 100 ]
    [[ $output == *'reaches no cluster: The connection to the server was refused'* ]]
    printf '#!/bin/sh\necho ok\n' >"$folder/kubectl"
    IMAGE_LOAD='' PATH=$folder:$PATH run "$REPO/tests/k8s/run" --
    [ "$status" -eq 100 ]
    [[ $output == *'IMAGE_LOAD is not set'* ]]
    IMAGE_LOAD=false PATH=$folder:$PATH run "$REPO/tests/k8s/run" image.tar --
    [ "$status" -eq 100 ]
    [[ $output == *"'false image.tar' failed"* ]]
}
