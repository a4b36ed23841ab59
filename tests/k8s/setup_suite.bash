# One namespace and one release for all files here.
# shellcheck shell=bash

# shellcheck source=tests/helpers/k8s.bash
. "$(dirname "${BASH_SOURCE[0]}")/../helpers/k8s.bash"

setup_suite() {
    use_namespace "fibcgi-test-$$"
    install_chart
}

teardown_suite() { leave_namespace; }
