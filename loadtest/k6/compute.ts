// A scenario of loadtest/scenarios for k6:
//   k6 run -e SCENARIO=spike -e URL=http://fibcgi.default.svc:8080 loadtest/k6/compute.ts
// Run it inside the cluster, against the Service itself; a port-forward gives out before the server does. The limits of CPU
// and memory are the deployment's. single, recovery and footprint are no matter of stages; loadtest/compare measures them.
import { check, sleep } from "k6";
import http from "k6/http";
import type { Options } from "k6/options";

interface Scenario {
  name: string;
  path: string;
  result: number;
  wait_ms: number;
  timeout_s: number;
  options: Options;
}

const scenario: Scenario = JSON.parse(open(`../scenarios/${__ENV.SCENARIO ?? "spike"}.json`));
const url = (__ENV.URL ?? "http://127.0.0.1:8080") + scenario.path;

export const options: Options = scenario.options;

export default function visit(): void {
  const response = http.get(url, { timeout: scenario.timeout_s * 1000 });
  check(response, { "the answer is right": (one) => one.status === 200 && one.json("result") === scenario.result });
  sleep(scenario.wait_ms / 1000);
}
