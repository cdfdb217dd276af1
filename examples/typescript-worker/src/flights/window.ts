/** The kind `flights.window`: count each hour of one airport and join its weather, as examples/flights/operators.py does. */

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import type { OperatorContext } from "../swimstream.js";
import { Condition, together } from "../tasks.js";
import { Inlet } from "./inlet.js";
import { operate } from "./outlet.js";
import type { Item } from "./wire.js";

const CAPACITY = 512;
const WEATHER_COLUMNS = ["temp", "wind_speed", "precip", "visib"];
const NO_WEATHER = ["", "", "", ""];

/** An hour is closed by a later one or by the end. */
export async function window(ctx: OperatorContext): Promise<void> {
  const origin = text(ctx, "origin");
  const weather = readWeather(text(ctx, "data"), origin);
  await operate(
    ctx,
    (start, outlet, outer) =>
      together(outer, async (spawn, signal) => {
        let offset = start.offsets[0] as number;
        const flights = new Inlet(ctx, ctx.inputs[0] as string, offset);
        spawn((task) => flights.run(task));
        spawn((task) => outlet.settle([flights], task));
        let hour: Hour | null = null;
        while (true) {
          const flight = flightOf(await flights.receive(signal));
          if (hour !== null && (flight === null || flight.timeHour > hour.timeHour)) {
            await outlet.put([...hour.row(origin), ...(weather.get(hour.timeHour) ?? NO_WEATHER)], [offset], signal);
            hour = null;
          }
          if (flight === null) break;
          hour ??= new Hour(flight.timeHour);
          hour.add(flight);
          offset += 1;
          outlet.count(offset);
        }
        await outlet.put(null, [], signal);
        await new Condition().wait(signal); // it may be asked for any of it again
      }),
    CAPACITY,
  );
}

interface Flight {
  timeHour: string;
  cancelled: boolean;
  delay: number | null;
}

/** One hour that is still open. */
class Hour {
  private flights = 0;
  private cancelled = 0;
  private delays = 0;
  private delaySum = 0;
  private delayMax: number | null = null;

  constructor(readonly timeHour: string) {}

  add(flight: Flight): void {
    this.flights += 1;
    this.cancelled += flight.cancelled ? 1 : 0;
    if (flight.delay !== null) {
      this.delays += 1;
      this.delaySum += flight.delay;
      this.delayMax = this.delayMax === null ? flight.delay : Math.max(this.delayMax, flight.delay);
    }
  }

  row(origin: string): string[] {
    const mean = this.delays === 0 ? "" : thousandths(this.delaySum, this.delays);
    const largest = this.delayMax === null ? "" : String(this.delayMax);
    return [this.timeHour, origin, String(this.flights), String(this.cancelled), mean, largest];
  }
}

/** Return the exact quotient rounded to three decimals, half to even. */
export function thousandths(sum: number, count: number): string {
  const size = BigInt(Math.abs(sum)) * 1000n;
  const divisor = BigInt(count);
  let rounded = size / divisor;
  const twice = 2n * (size % divisor);
  if (twice > divisor || (twice === divisor && rounded % 2n === 1n)) rounded += 1n;
  const sign = sum < 0 && rounded > 0n ? "-" : "";
  return `${sign}${rounded / 1000n}.${String(rounded % 1000n).padStart(3, "0")}`;
}

function flightOf(item: Item): Flight | null {
  if (item === null) return null;
  const [timeHour, cancelled, delay] = item;
  if (item.length !== 3 || typeof timeHour !== "string" || typeof cancelled !== "boolean" || !(delay === null || typeof delay === "number")) {
    throw new Error(`expected a flight: hour, cancelled, delay; got ${JSON.stringify(item)}`);
  }
  return { timeHour, cancelled, delay };
}

/** One airport's weather by hour; the last row of an hour wins. */
function readWeather(data: string, origin: string): Map<string, string[]> {
  const weather = new Map<string, string[]>();
  const names = readdirSync(data).filter((name) => /^weather-.*\.csv\.gz$/.test(name)).sort();
  if (names.length === 0) throw new Error(`${data}: expected files named weather-*.csv.gz, found none`);
  for (const name of names) {
    const lines = gunzipSync(readFileSync(join(data, name))).toString("utf8").split(/\r?\n/);
    const header = (lines.shift() ?? "").split(",");
    const at = (column: string): number => header.indexOf(column);
    for (const line of lines) {
      const fields = line.split(","); // numbers, codes and times: nothing is quoted
      if (line !== "" && fields[at("origin")] === origin) {
        const values = WEATHER_COLUMNS.map((column) => fields[at(column)] ?? "");
        weather.set(fields[at("time_hour")] as string, values.map((value) => (value === "NA" ? "" : value)));
      }
    }
  }
  return weather;
}

function text(ctx: OperatorContext, name: string): string {
  const value = ctx.parameters[name];
  if (typeof value !== "string" || value === "") throw new Error(`parameters.${name}: expected text, got ${JSON.stringify(value)}`);
  return value;
}
