"""Where the runtimes run. A target has
  serve(runtime, millicpu, options): a context with a running server, as processes.Server is one;
  can(test, options): whether that test is possible there;
  add_options(parser): its own options."""

from comparison.targets import podman, processes, url

TARGETS = {"processes": processes, "podman": podman, "url": url}
