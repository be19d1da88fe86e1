// Does the network answer under WebAssembly as it did where it was made? node test.mjs
import { readFileSync } from "node:fs";

const here = (name) => new URL(name, import.meta.url);
const { instance } = await WebAssembly.instantiate(readFileSync(here("model.wasm")));
const c = instance.exports;
const floats = (p, n) => new Float32Array(c.memory.buffer, p, n);

const weights = readFileSync(here("weights.bin"));
const at = c.malloc(weights.length + 64) + 63 & ~63;
new Uint8Array(c.memory.buffer).set(weights, at);
const place = c.malloc(4);
const made = () => new Uint32Array(c.memory.buffer, place, 1)[0];
const check = (code, wanted, what) => {
  if (code !== wanted) {
    console.error(`NAME: ${what} gave code ${code}, not ${wanted}`);
    process.exit(1);
  }
};
new Uint8Array(c.memory.buffer)[at] ^= 1;
check(c.NAME_create(place, at, weights.length, 1), 2, "damaged weights");
new Uint8Array(c.memory.buffer)[at] ^= 1;
check(c.NAME_create(place, at, weights.length, 1), 0, "create");
const model = made();

const golden = readFileSync(here("golden.bin"));
const numbers = new DataView(golden.buffer, golden.byteOffset, golden.length);
if (golden.toString("latin1", 0, 8) !== "PVGOLDEN") throw new Error("golden.bin is of another kind");
const cases = numbers.getUint32(12, true), images = numbers.getUint32(16, true);
const INPUTS = @N_INPUTS@, OUTPUTS = @N_OUTPUTS@, INPUT_TOLERANCE = @TOLERANCE_OF_INPUTS@;
const room = (count, size) => Array.from({ length: count }, (_, i) => c.malloc(4 * size(i)));
const inputs = room(INPUTS, c.NAME_input_size), outputs = room(OUTPUTS, c.NAME_output_size);
const list = (pointers) => {
  const p = c.malloc(4 * pointers.length);
  new Uint32Array(c.memory.buffer, p, pointers.length).set(pointers);
  return p;
};
const inputList = list(inputs), outputList = list(outputs);

let offset = 24, worst = 0;
const take = (n) => {
  const part = golden.subarray(offset, offset + 4 * n);
  offset += 4 * n;
  return new Float32Array(part.buffer.slice(part.byteOffset, part.byteOffset + 4 * n));
};
for (let n = 0; n < cases; n++) {
  let prepared = null;
  if (images) {
    const h = numbers.getUint32(offset, true), w = numbers.getUint32(offset + 4, true);
    const bytes = h * w * 3, rgb = c.malloc(bytes), out = c.malloc(4 * c.NAME_input_size(0));
    new Uint8Array(c.memory.buffer).set(golden.subarray(offset + 8, offset + 8 + bytes), rgb);
    check(c.NAME_preprocess(rgb, h, w, out), 0, "preprocess");
    prepared = floats(out, c.NAME_input_size(0)).slice();
    offset += 8 + Math.ceil(bytes / 4) * 4;
  }
  inputs.forEach((p, i) => floats(p, c.NAME_input_size(i)).set(take(c.NAME_input_size(i))));
  const first = floats(inputs[0], c.NAME_input_size(0));
  if (prepared && prepared.some((v, i) => !(Math.abs(v - first[i]) <= INPUT_TOLERANCE)))
    throw new Error("an image is prepared differently");
  check(c.NAME_run(model, inputList, outputList), 0, "run");
  outputs.forEach((p, i) => {
    const wanted = take(c.NAME_output_size(i)), got = floats(p, wanted.length);
    const most = wanted.reduce((m, v) => Math.max(m, Math.abs(v)), 1e-30);
    wanted.forEach((v, k) => {
      const error = Math.abs(v - got[k]) / most;
      if (!(error <= worst)) worst = error;
    });
  });
}
const ok = worst <= 1e-4;
console.log(`NAME: largest relative error ${worst.toExponential(2)} (allowed 1e-4), cases ${cases}: ` +
            (ok ? "ok" : "FAILED"));
process.exit(ok ? 0 : 1);
