/**
 * Evaluated once, when the executable's heap is made (tools/build.ts), and never by a program: does
 * there what every start would do in pages that are copied for it. The engine makes its own functions
 * when they are first asked for, and widens its table of shapes when that is half full.
 */

/** With what is there anyway, more than half of a table that no program fills. */
const SHAPES = 300;

/** What programs use. All that there is would be 100 KB more. */
const USED: readonly object[] = [
  globalThis,
  Object,
  Object.prototype,
  Function.prototype,
  Error.prototype,
  Array,
  Array.prototype,
  Object.getPrototypeOf([][Symbol.iterator]()),
  Map,
  Map.prototype,
  Object.getPrototypeOf(new Map().entries()),
  Set,
  Set.prototype,
  Object.getPrototypeOf(new Set().values()),
  String,
  String.prototype,
  Number,
  Number.prototype,
  BigInt,
  BigInt.prototype,
  Symbol,
  JSON,
  Math,
  Uint8Array,
  Int32Array,
  Object.getPrototypeOf(Uint8Array),
  Object.getPrototypeOf(Uint8Array.prototype),
  ArrayBuffer.prototype,
  DataView.prototype,
];

for (const object of USED) Object.getOwnPropertyDescriptors(object);

const shapes: unknown[] = [];
for (let index = 0; index < SHAPES; index++) shapes.push({ [`shape ${index}`]: index });
shapes.length = 0;

export {};
