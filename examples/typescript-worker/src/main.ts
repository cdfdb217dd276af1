/** Run the window operators of the flights job in this process: `node build/main.js --control /run/w4.sock`. */

import { parseArgs } from "node:util";
import { window } from "./flights/window.js";
import { type Place, Worker } from "./swimstream.js";

const { values } = parseArgs({
  options: {
    control: { type: "string" },
    "control-tcp": { type: "string" },
    "token-file": { type: "string" },
    capacity: { type: "string", default: "8" },
  },
});

function place(): Place {
  if (values.control !== undefined) return { control: values.control };
  const tcp = values["control-tcp"];
  const tokenFile = values["token-file"];
  if (tcp !== undefined && tokenFile !== undefined) return { tcp, tokenFile };
  throw new Error("expected --control PATH, or --control-tcp HOST:PORT with --token-file FILE");
}

const worker = await Worker.attach(place(), { "flights.window": window }, { capacity: Number(values.capacity) });
console.log(JSON.stringify({ attached: true, pid: process.pid }));
let asked = false;
for (const name of ["SIGTERM", "SIGINT"] as const) {
  process.on(name, () => {
    asked = true;
    worker.leave().catch((error: unknown) => console.error(String(error)));
  });
}
console.error(await worker.closed);
process.exit(asked ? 0 : 1);
