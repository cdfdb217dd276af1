/**
 * The output side of an operator: a numbered sequence, kept until the consumer says that it is durable.
 *
 * Upstream backup, as in examples/flights/outlet.py: an operator keeps what it has sent until the effects are safe
 * further down. What is no longer kept can be computed again: a consumer may ask for any number, and one below the
 * oldest kept makes the operator start over.
 */

import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import type { OperatorContext } from "../swimstream.js";
import { Aborted, check, Condition, orAborted, sleep, together } from "../tasks.js";
import { dismiss, type Inlet } from "./inlet.js";
import { beginning, type Checkpoint, decode, encode, type Item, Lines, numberIn, ProtocolError } from "./wire.js";

const BATCH_ITEMS_MAX = 256;
const HOST = "127.0.0.1";
const BYE_TIMEOUT_MS = 2_000;
const HELLO_TIMEOUT_MS = 5_000;

/** Puts all of its output from number `start.number` on, and then stays. */
export type Compute = (start: Checkpoint, outlet: Outlet, signal: AbortSignal) => Promise<void>;

/** Numbered output with at most `capacity` items that are not durable yet. */
export class Outlet {
  /** The consumer has the whole stream and made it durable. */
  readonly final = new Condition();
  private readonly items: { item: Item; offsets: readonly number[] }[] = [];
  private durable: Checkpoint;
  private acked = 0;
  private readonly changed = new Condition();
  private attempt: AbortController | null = null;
  private consumerEpoch = -1;
  private connection: AbortController | null = null;
  private dismissed = false;
  private readonly saidBye = new Condition();
  private counted = 0;

  constructor(private readonly ctx: OperatorContext, private readonly capacity: number) {
    this.durable = beginning(ctx.inputs.length);
  }

  /** Forget all items; the next one put is number `start.number`. `attempt` is aborted if that is too late. */
  begin(start: Checkpoint, attempt: AbortController): void {
    this.items.length = 0;
    this.durable = start;
    this.attempt = attempt;
    this.changed.set();
  }

  /** Add the next item; wait for room first. State is empty after it when reading on from `offsets`. */
  async put(item: Item, offsets: readonly number[], signal: AbortSignal): Promise<void> {
    while (this.items.length >= this.capacity) await this.changed.wait(signal);
    check(signal);
    this.items.push({ item, offsets });
    this.release();
    this.changed.set();
  }

  /** Report progress; a recomputation, which starts lower, reports nothing until it is as far. */
  count(progress: number): void {
    if (progress > this.counted) {
      this.counted = progress;
      this.ctx.progress(progress);
    }
  }

  /** Report each checkpoint that the consumer's acknowledgements allow, and acknowledge the inputs up to it. */
  async settle(inlets: readonly Inlet[], signal: AbortSignal): Promise<void> {
    let reported = this.durable.number;
    while (true) {
      if (this.durable.number > reported) {
        reported = this.durable.number;
        this.ctx.checkpoint(encode(this.durable));
        inlets.forEach((inlet, index) => inlet.ack(this.durable.offsets[index] as number));
      }
      await this.changed.wait(signal);
    }
  }

  /** Tell the consumer that its `final` was understood. */
  async dismiss(signal: AbortSignal): Promise<void> {
    this.dismissed = true;
    this.changed.set();
    await Promise.race([this.saidBye.wait(signal), sleep(BYE_TIMEOUT_MS, signal)]);
  }

  /** Serve the newest consumer until aborted; return the address. */
  async listen(signal: AbortSignal): Promise<string> {
    const server: Server = createServer((socket) => void this.serve(socket, signal));
    signal.addEventListener("abort", () => server.close(), { once: true });
    await orAborted(new Promise<void>((resolve, reject) => server.once("error", reject).listen(0, HOST, resolve)), signal);
    return `${HOST}:${(server.address() as AddressInfo).port}`;
  }

  private async serve(socket: Socket, outer: AbortSignal): Promise<void> {
    const own = new AbortController();
    const signal = AbortSignal.any([outer, own.signal]);
    const lines = new Lines(socket, signal);
    try {
      const position = await this.greet(lines, own, signal);
      await together(signal, async (spawn, inner) => {
        spawn((task) => this.send(lines, position, own, task));
        await this.hear(lines, own, inner);
      });
    } catch (error) {
      if (!(error instanceof ProtocolError || error instanceof Aborted)) console.error("serving a consumer:", error);
    }
    own.abort(); // the consumer will come again
    if (this.connection === own) this.connection = null;
  }

  /** Check who is there, let it replace an older consumer, and return the number it wants first. */
  private async greet(lines: Lines, own: AbortController, signal: AbortSignal): Promise<number> {
    const hello = await lines.receive(AbortSignal.any([signal, AbortSignal.timeout(HELLO_TIMEOUT_MS)]));
    if (hello["want"] !== this.ctx.instance) throw new ProtocolError(`want: expected ${this.ctx.instance}`);
    const epoch = numberIn(hello, "epoch");
    const position = numberIn(hello, "from");
    const acked = numberIn(hello, "ack");
    if (epoch < this.consumerEpoch) throw new ProtocolError(`epoch: expected ${this.consumerEpoch} or later, got ${epoch}`);
    this.connection?.abort();
    this.consumerEpoch = epoch;
    this.connection = own;
    await lines.send({ instance: this.ctx.instance, epoch: this.ctx.epoch }, signal);
    // A consumer that resumed from an older checkpoint takes back what its predecessor acknowledged.
    this.acked = acked;
    this.release();
    this.changed.set();
    return position;
  }

  private async send(lines: Lines, first: number, own: AbortController, signal: AbortSignal): Promise<void> {
    let position = first;
    while (true) {
      const skipped = position - this.durable.number;
      if (this.dismissed) {
        await lines.send({ bye: true }, signal);
        this.saidBye.latch();
        own.abort();
      }
      if (skipped < 0 && this.attempt !== null) {
        this.attempt.abort();
        await this.changed.wait(signal);
      } else if (skipped < this.items.length) {
        const items = this.items.slice(skipped, skipped + BATCH_ITEMS_MAX).map(({ item }) => item);
        await lines.send({ at: position, items }, signal);
        position += items.length;
      } else {
        await this.changed.wait(signal);
      }
    }
  }

  private async hear(lines: Lines, own: AbortController, signal: AbortSignal): Promise<void> {
    while (true) {
      const message = await lines.receive(signal);
      if (this.connection !== own) return; // a newer consumer has taken over in the meantime
      if (message["final"] === true) {
        this.final.latch();
      } else {
        this.acked = Math.max(this.acked, numberIn(message, "ack"));
        this.release();
        this.changed.set();
      }
    }
  }

  /** Forget the items that are durable further down; the end of the stream stays until `final`. */
  private release(): void {
    while (this.durable.number < this.acked && this.items[0] !== undefined && this.items[0].item !== null) {
      this.durable = { number: this.durable.number + 1, offsets: this.items[0].offsets };
      this.items.shift();
    }
  }
}

/** Run an operator with one output; return when the consumer has made all of it durable. */
export async function operate(ctx: OperatorContext, compute: Compute, capacity: number): Promise<void> {
  const outlet = new Outlet(ctx, capacity);
  await together(ctx.signal, async (_, serving) => {
    ctx.publish(await outlet.listen(serving));
    await together(serving, async (spawn, working) => {
      spawn((signal) => computeAgain(ctx, compute, outlet, signal));
      spawn((signal) => endWithConsumers(ctx, outlet, signal));
      await outlet.final.wait(working);
    });
    await dismiss(ctx, serving);
    await outlet.dismiss(serving);
  });
}

/** A copy that is executed after its consumer has finished would wait for ever: nobody comes any more. */
async function endWithConsumers(ctx: OperatorContext, outlet: Outlet, signal: AbortSignal): Promise<void> {
  for (const consumer of ctx.outputs) await orAborted(ctx.finished(consumer), signal);
  if (ctx.outputs.length > 0) outlet.final.latch();
}

/** Compute from the checkpoint on, and from the beginning if that was too late for the consumer. */
async function computeAgain(ctx: OperatorContext, compute: Compute, outlet: Outlet, signal: AbortSignal): Promise<void> {
  let start = decode(ctx.resumeFrom, ctx.inputs.length);
  while (!outlet.final.isLatched) {
    const attempt = new AbortController();
    try {
      outlet.begin(start, attempt);
      await compute(start, outlet, AbortSignal.any([signal, attempt.signal]));
    } catch (error) {
      if (!(error instanceof Aborted)) throw error;
    }
    check(signal);
    start = beginning(ctx.inputs.length);
  }
}
