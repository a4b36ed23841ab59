"""Where the runtimes run. A target has
  serve(runtime, millicpu, options): a context with a running server, as processes.Server is one;
  prepare(options): what has to be done once, before the first;
  can(test, options): whether that test is possible there;
  add_options(parser): its own options."""

from comparison.targets import kubernetes, podman, processes, url

TARGETS = {"processes": processes, "podman": podman, "kubernetes": kubernetes, "url": url}
