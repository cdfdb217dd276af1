/**
 * A client of swimstream's control port: this process is the worker, `swimstream peer` its peer.
 *
 *     const worker = await Worker.attach({ control: "/run/w4.sock" }, { count: async (ctx) => { ... } });
 *     console.error(await worker.closed);
 *
 * An operator is an async function of a context. It returns when it has finished and throws when it has failed (see
 * `FatalError` and `InfrastructureError`); when `ctx.signal` is aborted it should end soon, however it does. The protocol is described in docs/control-port.md.
 */

import { randomInt } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";

export const PROTOCOL = 1;
const REPORT_MS = 50;
const FENCE_LOOK_MS = 50;
const FROZEN_AFTER_S = 1;

export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Table = { [key: string]: Json };
export type Operator = (ctx: OperatorContext) => Promise<void>;
/** `frozenAfterS`: when the event loop has not turned for so long, others see this worker's instances as frozen. */
export type Options = { capacity?: number; frozenAfterS?: number };
export type Place = { control: string } | { tcp: string; tokenFile: string };

/** The peer has refused a request; `code` is `usage`, `over`, `ending` or `failed`. */
export class Refused extends Error {
  constructor(readonly code: string, message: string) {
    super(message);
  }
}

/** Thrown by an operator that would fail again: it is put in quarantine until somebody changes something. */
export class FatalError extends Error {}

/** Thrown by an operator that something else made fail, such as its database: that does not count against it. */
export class InfrastructureError extends Error {}

interface StartOrder {
  instance: string;
  epoch: number;
  job: string;
  operator: string;
  index: number;
  kind: string;
  parameters: { [key: string]: Json };
  inputs: string[];
  outputs: string[];
  resume_from: string;
  guarantee: string;
  fence_s: number | null;
}

/** One execution of one instance. */
export class OperatorContext {
  readonly instance: string;
  /** Rises with each decision about this instance: the fencing token to show to a sink. */
  readonly epoch: number;
  readonly kind: string;
  readonly parameters: { readonly [key: string]: Json };
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** The newest checkpoint that any earlier execution has made known; empty at first. */
  readonly resumeFrom: Uint8Array;
  readonly guarantee: string;
  /** Aborted when this execution is to stop. */
  readonly signal: AbortSignal;
  /** @internal when an at-most-one execution must have ended, on `now()`. */
  deadline: number | null = null;
  private readonly stopping = new AbortController();
  private readonly waits = new Map<string, Promise<Table>>();
  private news: Table = {};
  private timer: NodeJS.Timeout | undefined;

  /** @internal */
  constructor(private readonly link: Link, order: StartOrder) {
    this.instance = order.instance;
    this.epoch = order.epoch;
    this.kind = order.kind;
    this.parameters = order.parameters;
    this.inputs = order.inputs;
    this.outputs = order.outputs;
    this.resumeFrom = Buffer.from(order.resume_from, "hex");
    this.guarantee = order.guarantee;
    this.signal = this.stopping.signal;
  }

  /** Say how far it has come, in any unit of its own; it never falls. */
  progress(count: number): void {
    this.tell({ progress: count });
  }

  /** Make `handle`, at most 64 bytes, the `resumeFrom` of the next execution, wherever that will be. */
  checkpoint(handle: Uint8Array): void {
    this.tell({ checkpoint: Buffer.from(handle).toString("hex") });
  }

  /** Say up to which event time it has seen everything, in ms of any calendar; it never falls. */
  watermark(timeMs: number): void {
    this.tell({ watermark_ms: timeMs });
  }

  /** Say how much input waits, in any unit; one that never says so is never stalled. */
  backlog(count: number): void {
    this.tell({ backlog: count });
  }

  /** Declare a step that may take so long without progress, from now on; 0 ends it early. */
  busy(seconds: number): void {
    this.tell({ busy_s: seconds });
    this.flush();
  }

  /** Say that it waits for its outputs to take on, or no longer does; until then no progress is no stall. */
  backpressured(isWaiting: boolean): void {
    this.tell({ backpressured: isWaiting });
  }

  /** Tell everybody where this execution serves its neighbours, `host:port`. */
  publish(endpoint: string): void {
    this.tell({ endpoint });
    this.flush();
  }

  /** Return where the newest execution of `neighbour` serves, or null while that is not known. */
  async locateNow(neighbour: string): Promise<string | null> {
    return (await this.link.ask("locate", { ...this.copy(), neighbour }))["endpoint"] as string | null;
  }

  /** Wait until `neighbour` serves somewhere, elsewhere than at `otherThan` if that is given. */
  async locate(neighbour: string, otherThan?: string): Promise<string> {
    const more: Table = otherThan === undefined ? {} : { other_than: otherThan };
    return (await this.wait("locate", { neighbour, wait: true, ...more }))["endpoint"] as string;
  }

  /** Yield where `neighbour` is, and again whenever it has moved. */
  async *watch(neighbour: string): AsyncGenerator<string> {
    let last: string | undefined;
    while (true) yield (last = await this.locate(neighbour, last));
  }

  /** Wait until the plan says that `neighbour` has finished for good. */
  async finished(neighbour: string): Promise<void> {
    await this.wait("finished", { neighbour });
  }

  /** @internal */
  stop(): void {
    this.stopping.abort();
  }

  /** @internal */
  copy(): Table {
    return { instance: this.instance, epoch: this.epoch };
  }

  /** @internal Send what waits to be said, together with `more`. */
  flush(more: Table = {}): void {
    clearTimeout(this.timer);
    this.timer = undefined;
    const news = { ...this.news, ...more };
    this.news = {};
    if (Object.keys(news).length > 0) this.link.tell("report", { ...this.copy(), ...news }, () => this.stop());
  }

  private tell(news: Table): void {
    Object.assign(this.news, news);
    this.timer ??= setTimeout(() => this.flush(), REPORT_MS);
  }

  /** Ask what may take for ever, once for all who ask the same. */
  private wait(verb: string, fields: Table): Promise<Table> {
    const key = JSON.stringify([verb, fields]);
    let held = this.waits.get(key);
    if (held === undefined) {
      held = this.link.ask(verb, { ...this.copy(), ...fields }).finally(() => this.waits.delete(key));
      held.catch(() => undefined); // whoever asked may not wait any more
      this.waits.set(key, held);
    }
    return held;
  }
}

/** Seconds on a clock that never jumps. */
function now(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** The connection: requests with their answers, and the orders in between. */
class Link {
  /** When the newest request was sent that has been answered. From then on fences are counted, never from their receipt. */
  anchor = now();
  private next = randomInt(1, 1_000_000);
  private readonly open = new Map<number, { sentAt: number; take: (answer: Table) => void; fail: (error: Error) => void }>();
  private rest = "";

  constructor(private readonly socket: Socket, private readonly onOrder: (order: Table) => void, onEnd: (why: string) => void) {
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => this.hear(text));
    let why = "the peer has hung up";
    socket.on("error", (error) => (why = error.message));
    socket.on("close", () => {
      for (const { fail } of this.open.values()) fail(new Refused("ending", why));
      this.open.clear();
      onEnd(why);
    });
  }

  ask(verb: string, fields: Table = {}): Promise<Table> {
    return new Promise((take, fail) => {
      if (this.socket.destroyed) return fail(new Refused("ending", "the peer has hung up"));
      const id = this.next++;
      this.open.set(id, { sentAt: now(), take, fail });
      this.socket.write(JSON.stringify({ verb, id, ...fields }) + "\n");
    });
  }

  /** Ask without waiting. That a copy is over is for `onOver`; any other refusal is a fault of ours. */
  tell(verb: string, fields: Table, onOver: () => void): void {
    this.ask(verb, fields).catch((error: unknown) => {
      if (error instanceof Refused && error.code === "over") onOver();
      else if (!(error instanceof Refused && error.code === "ending")) console.error(`${verb}: ${String(error)}`);
    });
  }

  close(): void {
    this.socket.destroy();
  }

  private hear(text: string): void {
    const lines = (this.rest + text).split("\n");
    this.rest = lines.pop() ?? "";
    for (const line of lines) this.take(JSON.parse(line) as Table);
  }

  private take(message: Table): void {
    if ("order" in message) return this.onOrder(message);
    const asked = this.open.get(message["id"] as number);
    if (asked === undefined) throw new Error(`expected an answer to something, got ${JSON.stringify(message)}`);
    this.open.delete(message["id"] as number);
    this.anchor = Math.max(this.anchor, asked.sentAt);
    if (message["ok"] === true) asked.take(message);
    else asked.fail(new Refused(String(message["code"]), String(message["error"])));
  }
}

/** This process as a worker. */
export class Worker {
  /** Resolves with the reason when the peer has ended or hung up; everything is being stopped then. */
  readonly closed: Promise<string>;
  private readonly link: Link;
  private readonly running = new Map<string, OperatorContext>();
  private reason = "";

  private constructor(socket: Socket, private readonly operators: { readonly [kind: string]: Operator }) {
    let close: (why: string) => void;
    this.closed = new Promise((resolve) => (close = resolve));
    this.link = new Link(socket, (order) => this.obey(order), (why) => {
      for (const ctx of this.running.values()) ctx.stop();
      close(this.reason || why);
    });
  }

  /** Connect and attach; throw `Refused` if the peer does not take this process. */
  static async attach(place: Place, operators: { readonly [kind: string]: Operator }, options: Options = {}): Promise<Worker> {
    const worker = new Worker(await open(place), operators);
    try {
      const token: Table = "tokenFile" in place ? { token: readFileSync(place.tokenFile, "utf8").trim() } : {};
      await worker.link.ask("hello", { protocol: PROTOCOL, ...token });
      const capacity: Table = options.capacity === undefined ? {} : { capacity: options.capacity };
      const frozen: Table = { frozen_after_s: options.frozenAfterS ?? FROZEN_AFTER_S };
      const told = await worker.link.ask("attach", { protocol: PROTOCOL, kinds: Object.keys(operators), ...capacity, ...frozen });
      setInterval(() => worker.link.tell("tick", {}, () => undefined), Number(told["tick_s"]) * 1_000).unref();
      setInterval(() => worker.keepFences(), FENCE_LOOK_MS).unref();
    } catch (error) {
      worker.link.close();
      throw error;
    }
    return worker;
  }

  /** Ask the peer anything that the control port answers, such as `members` or `submit`. */
  ask(verb: string, fields: Table = {}): Promise<Table> {
    return this.link.ask(verb, fields);
  }

  /** Stop everything in good order, say goodbye, and be closed. */
  async leave(): Promise<void> {
    await this.link.ask("leave");
  }

  private obey(order: Table): void {
    switch (order["order"]) {
      case "start":
        void this.run(order as unknown as StartOrder);
        break;
      case "stop":
        this.find(order)?.stop();
        break;
      case "renew":
        for (const fence of order["fences"] as Table[]) {
          const ctx = this.find(fence);
          if (ctx !== undefined) ctx.deadline = this.link.anchor + Number(fence["fence_s"]);
        }
        break;
      case "end":
        this.reason = String(order["reason"]);
        break; // the peer hangs up now
    } // an order that is not known is of a later version, and not for us
  }

  private find(copy: Table): OperatorContext | undefined {
    const ctx = this.running.get(String(copy["instance"]));
    return ctx?.epoch === copy["epoch"] ? ctx : undefined;
  }

  private async run(order: StartOrder): Promise<void> {
    const ctx = new OperatorContext(this.link, order);
    if (order.fence_s !== null) ctx.deadline = this.link.anchor + order.fence_s;
    this.running.set(ctx.instance, ctx);
    let end: Table;
    try {
      const operator = this.operators[order.kind];
      if (operator === undefined) throw new Error(`no operator for kind ${order.kind}`);
      if (ctx.deadline !== null && ctx.deadline <= now()) ctx.stop(); // fenced before it began
      if (ctx.signal.aborted) throw new Error("stopped before it began");
      ctx.flush({ state: "running" });
      await operator(ctx);
      end = { state: ctx.signal.aborted ? "stopped" : "finished" };
    } catch (error) {
      const failed = !ctx.signal.aborted;
      if (failed) console.error(`${ctx.instance} in epoch ${ctx.epoch} has failed:`, error);
      end = failed ? { state: "failed", cause: String(error), error: classOf(error) } : { state: "stopped" };
    }
    this.running.delete(ctx.instance);
    ctx.flush(end);
  }

  /** Keep the fences, also when the peer is gone: nothing but the end of the process is sure to end an operator. */
  private keepFences(): void {
    for (const { deadline } of this.running.values()) {
      if (deadline !== null && now() >= deadline - FENCE_LOOK_MS / 1_000) process.kill(process.pid, "SIGKILL");
    }
  }
}

function classOf(error: unknown): string {
  if (error instanceof FatalError) return "fatal";
  return error instanceof InfrastructureError ? "infrastructure" : "retryable";
}

function open(place: Place): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const at = "control" in place ? { path: place.control } : address(place.tcp);
    const socket = connect(at, () => {
      socket.off("error", reject);
      resolve(socket);
    });
    socket.once("error", reject);
  });
}

function address(text: string): { host: string; port: number } {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}
