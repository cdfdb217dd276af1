/** The input side of an operator: find the upstream, read from where one stands, find it again when it is lost. */

import { connect, type Socket } from "node:net";
import type { OperatorContext } from "../swimstream.js";
import { Aborted, Channel, Condition, check, orAborted, sleep, together } from "../tasks.js";
import { type Item, Lines, type Message, numberIn, ProtocolError } from "./wire.js";

const ITEMS_MAX = 512;
const RETRY_MS = 100;
const CONNECT_TIMEOUT_MS = 2_000;
const FAREWELL_TIMEOUT_MS = 10_000;

/** One input, read in order and without gaps from `offset` on. */
export class Inlet {
  private readonly items = new Channel<Item>(ITEMS_MAX);
  private readonly ackChanged = new Condition();
  private acked: number;
  private next: number;
  /** The newest epoch of the upstream that anybody has shown us; a lower one is a stale copy. */
  private epoch = 0;

  constructor(private readonly ctx: OperatorContext, private readonly upstream: string, offset: number) {
    this.next = this.acked = offset;
  }

  /** Return the next item; null is the end of the stream. */
  receive(signal: AbortSignal): Promise<Item> {
    return this.items.take(signal);
  }

  /** Let the upstream forget everything below `number`. */
  ack(number: number): void {
    if (number > this.acked) {
      this.acked = number;
      this.ackChanged.set();
    }
  }

  /** Read until aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (true) {
      const address = await orAborted(this.ctx.locate(this.upstream), signal);
      await unlessBroken(() => this.readFrom(address, signal));
      check(signal);
      await sleep(RETRY_MS, signal); // the upstream has died or moved: ask where it is now
    }
  }

  private readFrom(address: string, outer: AbortSignal): Promise<void> {
    return together(outer, async (spawn, signal) => {
      // A stale copy may go on serving. Watch, from before connecting, whether a newer one has taken over.
      spawn((inner) => this.watch(address, inner));
      const lines = new Lines(await open(address, signal), signal);
      const epoch = await greet(lines, this.ctx, this.upstream, this.next, this.acked, signal);
      if (epoch < this.epoch) throw new ProtocolError(`epoch: expected ${this.epoch} or later, got ${epoch}`);
      this.epoch = epoch;
      spawn((inner) => this.acknowledge(lines, inner));
      while (true) await this.take(await lines.receive(signal), signal);
    });
  }

  private async take(message: Message, signal: AbortSignal): Promise<void> {
    const items = message["items"];
    if (!Array.isArray(items) || numberIn(message, "at") !== this.next) {
      throw new ProtocolError(`expected items from number ${this.next} on, got ${JSON.stringify(message).slice(0, 80)}`);
    }
    for (const item of items as unknown[]) {
      if (!(item === null || Array.isArray(item))) throw new ProtocolError("items: expected lists");
      await this.items.put(item as Item, signal);
      this.next += 1;
    }
  }

  private async acknowledge(lines: Lines, signal: AbortSignal): Promise<void> {
    while (true) {
      await this.ackChanged.wait(signal);
      await lines.send({ ack: this.acked }, signal);
    }
  }

  private async watch(address: string, signal: AbortSignal): Promise<void> {
    const newer = await orAborted(this.ctx.locate(this.upstream, address), signal);
    throw new ProtocolError(`the upstream has moved to ${newer}`);
  }
}

/** Tell every input that nothing is needed any more, and wait until it has understood. */
export async function dismiss(ctx: OperatorContext, signal: AbortSignal): Promise<void> {
  await Promise.all(ctx.inputs.map((upstream) => dismissOne(ctx, upstream, signal)));
}

async function dismissOne(ctx: OperatorContext, upstream: string, signal: AbortSignal): Promise<void> {
  const lostAt = performance.now();
  while (performance.now() < lostAt + FAREWELL_TIMEOUT_MS) {
    const address = await orAborted(ctx.locateNow(upstream), signal);
    if (address !== null && (await unlessBroken(() => sayFinal(ctx, upstream, address, signal)))) return;
    check(signal);
    await sleep(RETRY_MS, signal);
  }
}

async function sayFinal(ctx: OperatorContext, upstream: string, address: string, outer: AbortSignal): Promise<void> {
  const patience = AbortSignal.any([outer, AbortSignal.timeout(2 * FAREWELL_TIMEOUT_MS)]);
  await together(patience, async (_, signal) => {
    const lines = new Lines(await open(address, signal), signal);
    await greet(lines, ctx, upstream, 2 ** 53, 0, signal);
    await lines.send({ final: true }, signal);
    while ((await lines.receive(signal))["bye"] !== true);
  });
}

/** Run `act`; return whether it has come to its end, false when the connection broke or was given up. */
async function unlessBroken(act: () => Promise<void>): Promise<boolean> {
  try {
    await act();
    return true;
  } catch (error) {
    if (error instanceof ProtocolError || error instanceof Aborted) return false;
    throw error;
  }
}

/** Say who asks for what, check who answers, and return the epoch in which it runs. */
async function greet(lines: Lines, ctx: OperatorContext, upstream: string, first: number, acked: number, outer: AbortSignal): Promise<number> {
  const signal = AbortSignal.any([outer, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]);
  await lines.send({ want: upstream, consumer: ctx.instance, epoch: ctx.epoch, from: first, ack: acked }, signal);
  const answer = await lines.receive(signal);
  if (answer["instance"] !== upstream) {
    throw new ProtocolError(`instance: expected ${upstream}, got ${JSON.stringify(answer["instance"])}`);
  }
  return numberIn(answer, "epoch");
}

async function open(address: string, outer: AbortSignal): Promise<Socket> {
  const colon = address.lastIndexOf(":");
  const socket = connect({ host: address.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(address.slice(colon + 1)) });
  const connected = new Promise<void>((resolve, reject) => {
    socket.once("connect", resolve);
    socket.once("error", (error) => reject(new ProtocolError(error.message)));
  });
  try {
    await orAborted(connected, AbortSignal.any([outer, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]));
  } catch (error) {
    connected.catch(() => undefined);
    socket.destroy();
    throw error;
  }
  return socket;
}
