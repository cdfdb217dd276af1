/** What the operators of the flights job say to each other (examples/flights/wire.py), and their checkpoints. */

import type { Socket } from "node:net";
import { orAborted } from "../tasks.js";

const LINE_CHARS_MAX = 1024 * 1024;

export type Item = (string | number | boolean | null)[] | null;
export type Message = { [key: string]: unknown };

/** The other end is not who or what it should be, or is gone. The connection is given up and tried anew. */
export class ProtocolError extends Error {}

/** Newline-delimited JSON objects over a socket, which is closed when `signal` is aborted. */
export class Lines {
  private readonly chunks: AsyncIterator<string>;
  private rest = "";
  private waiting: string[] = [];

  constructor(private readonly socket: Socket, signal: AbortSignal) {
    socket.setEncoding("utf8");
    socket.on("error", () => undefined); // whoever reads or writes next is told
    signal.addEventListener("abort", () => socket.destroy(), { once: true });
    if (signal.aborted) socket.destroy();
    this.chunks = socket[Symbol.asyncIterator]() as AsyncIterator<string>;
  }

  async send(message: Message, signal: AbortSignal): Promise<void> {
    const sent = new Promise<void>((resolve, reject) =>
      this.socket.write(JSON.stringify(message) + "\n", (error) => (error ? reject(new ProtocolError(error.message)) : resolve())),
    );
    await orAborted(sent, signal);
  }

  async receive(signal: AbortSignal): Promise<Message> {
    while (this.waiting.length === 0) {
      const { value, done } = await orAborted(this.chunks.next().catch(gone), signal);
      if (done === true) throw new ProtocolError("the other end has gone");
      const lines = (this.rest + value).split("\n");
      this.rest = lines.pop() ?? "";
      if (this.rest.length > LINE_CHARS_MAX) throw new ProtocolError(`expected lines of at most ${LINE_CHARS_MAX} bytes`);
      this.waiting.push(...lines);
    }
    return parse(this.waiting.shift() as string);
  }
}

function gone(error: unknown): never {
  throw new ProtocolError(String(error));
}

function parse(line: string): Message {
  let message: unknown;
  try {
    message = JSON.parse(line);
  } catch (error) {
    throw new ProtocolError(`expected a JSON object: ${String(error)}`);
  }
  if (typeof message !== "object" || message === null || Array.isArray(message)) {
    throw new ProtocolError(`expected a JSON object, got ${line.slice(0, 80)}`);
  }
  return message as Message;
}

export function numberIn(message: Message, field: string): number {
  const value = message[field];
  if (typeof value !== "number" || !Number.isInteger(value) || value < 0) {
    throw new ProtocolError(`${field}: expected a count, got ${JSON.stringify(value)}`);
  }
  return value;
}

/** With empty state, output `number` is what follows from the inputs read from `offsets` on. */
export interface Checkpoint {
  readonly number: number;
  readonly offsets: readonly number[];
}

export function beginning(inputs: number): Checkpoint {
  return { number: 0, offsets: new Array<number>(inputs).fill(0) };
}

/** Return it as CBOR, an array of counts, as the Python operators do: either side resumes what the other has begun. */
export function encode(checkpoint: Checkpoint): Uint8Array {
  const counts = [checkpoint.number, ...checkpoint.offsets];
  return Buffer.concat([head(4, counts.length), ...counts.map((count) => head(0, count))]);
}

export function decode(data: Uint8Array, inputs: number): Checkpoint {
  if (data.length === 0) return beginning(inputs);
  const numbers: number[] = [];
  let rest = Buffer.from(data);
  while (rest.length > 0) {
    const major = (rest[0] as number) >> 5;
    if (major !== (numbers.length === 0 ? 4 : 0)) throw new Error("checkpoint: expected a list of counts");
    const [value, size] = argument(rest);
    numbers.push(value);
    rest = rest.subarray(size);
  }
  const [length, number, ...offsets] = numbers;
  if (length !== 1 + inputs || number === undefined || offsets.length !== inputs) {
    throw new Error(`checkpoint: expected ${1 + inputs} counts, got ${numbers.length - 1}`);
  }
  return { number, offsets };
}

function head(major: number, value: number): Buffer {
  const first = major << 5;
  if (value < 24) return Buffer.from([first | value]);
  if (value < 0x100) return Buffer.from([first | 24, value]);
  const bytes = value < 0x1_0000 ? 2 : value < 0x1_0000_0000 ? 4 : 8;
  const whole = Buffer.alloc(1 + bytes);
  whole[0] = first | (bytes === 2 ? 25 : bytes === 4 ? 26 : 27);
  if (bytes === 8) whole.writeBigUInt64BE(BigInt(value), 1);
  else whole.writeUIntBE(value, 1, bytes);
  return whole;
}

function argument(data: Buffer): [number, number] {
  const low = (data[0] as number) & 0x1f;
  if (low < 24) return [low, 1];
  switch (low) {
    case 24:
      return [data.readUInt8(1), 2];
    case 25:
      return [data.readUInt16BE(1), 3];
    case 26:
      return [data.readUInt32BE(1), 5];
    case 27:
      return [Number(data.readBigUInt64BE(1)), 9];
    default:
      throw new Error("checkpoint: expected a list of counts");
  }
}
