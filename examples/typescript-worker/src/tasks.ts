/** Small things that plain promises lack: sleep and wait that a signal ends, and tasks that end together. */

export class Aborted extends Error {}

export function check(signal: AbortSignal): void {
  if (signal.aborted) throw new Aborted("stopped");
}

/** Wait for `promise`, or throw `Aborted` as soon as `signal` is. */
export function orAborted<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => reject(new Aborted("stopped"));
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    const done = (): void => signal.removeEventListener("abort", abort);
    promise.then(
      (value) => (done(), resolve(value)),
      (error: unknown) => (done(), reject(error instanceof Error ? error : new Error(String(error)))),
    );
  });
}

export async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    await orAborted(new Promise<void>((resolve) => (timer = setTimeout(resolve, ms))), signal);
  } finally {
    clearTimeout(timer);
  }
}

/** Something that others wait for: `set` wakes all who wait now, `latch` all who ever will. */
export class Condition {
  private waiters: (() => void)[] = [];
  isLatched = false;

  set(): void {
    const woken = this.waiters;
    this.waiters = [];
    for (const wake of woken) wake();
  }

  latch(): void {
    this.isLatched = true;
    this.set();
  }

  async wait(signal: AbortSignal): Promise<void> {
    check(signal);
    if (this.isLatched) return;
    await orAborted(new Promise<void>((resolve) => this.waiters.push(resolve)), signal);
  }
}

/** At most `capacity` values between who puts and who takes. */
export class Channel<T> {
  private readonly values: T[] = [];
  private readonly changed = new Condition();

  constructor(private readonly capacity: number) {}

  async put(value: T, signal: AbortSignal): Promise<void> {
    while (this.values.length >= this.capacity) await this.changed.wait(signal);
    this.values.push(value);
    this.changed.set();
  }

  async take(signal: AbortSignal): Promise<T> {
    while (this.values.length === 0) await this.changed.wait(signal);
    const value = this.values.shift() as T;
    this.changed.set();
    return value;
  }
}

export type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Run `body`, and beside it the tasks that it spawns. When `body` ends, or anything fails, all of them are stopped; it
 * returns once they have ended, and throws the first failure.
 */
export async function together(outer: AbortSignal, body: (spawn: (task: Task) => void, signal: AbortSignal) => Promise<void>): Promise<void> {
  const inner = new AbortController();
  const stop = (): void => inner.abort();
  if (outer.aborted) stop();
  outer.addEventListener("abort", stop, { once: true });
  const failures: unknown[] = [];
  const running: Promise<void>[] = [];
  const guarded = async (task: Task): Promise<void> => {
    try {
      await task(inner.signal);
    } catch (error) {
      if (!(error instanceof Aborted && inner.signal.aborted)) failures.push(error);
      stop();
    }
  };
  const spawn = (task: Task): void => void running.push(guarded(task));
  await guarded((signal) => body(spawn, signal));
  stop();
  while (running.length > 0) await running.pop();
  outer.removeEventListener("abort", stop);
  if (failures.length > 0) throw failures[0];
  check(outer);
}
