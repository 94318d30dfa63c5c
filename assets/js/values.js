// The numbers and texts of the strip: unpacked, gathered into words or sentences, put on a scale.
(() => {
  const T = window.tokenarium;
  if (T.values) return;
  const LEVELS = 16;

  const bytes = text => Uint8Array.from(atob(text), character => character.charCodeAt(0));
  const half = bits => {
    const sign = bits & 0x8000 ? -1 : 1, exponent = bits >> 10 & 31, fraction = bits & 1023;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * fraction / 1024);
  };
  const numbers = packed => {
    const scale = 2 ** -packed.exponent;
    return Float32Array.from(new Uint16Array(bytes(packed.values).buffer), bits => half(bits) * scale);
  };
  const texts = packed => {
    const vocabulary = packed.vocabulary.split('\x7f');
    if (packed.which === undefined) return vocabulary;
    const raw = bytes(packed.which).buffer;
    return Array.from(packed.wide ? new Uint32Array(raw) : new Uint16Array(raw), place => vocabulary[place]);
  };

  // Units: where each begins, where the last ends, and which one a token belongs to.
  const whole = count => ({first: Int32Array.from({length: count + 1}, (_, token) => token), of: Int32Array.from({length: count}, (_, token) => token), count});
  const units = (flags, count) => {
    const packed = bytes(flags), of = new Int32Array(count), first = [];
    for (let token = 0; token < count; token++) {
      if (packed[token >> 3] >> (token & 7) & 1) first.push(token);
      of[token] = first.length - 1;
    }
    return {first: Int32Array.from([...first, count]), of, count: first.length};
  };
  // A unit without a number in it has none.
  const gather = (values, {first, count}, total) => Float32Array.from({length: count}, (_, unit) => {
    let sum = 0, seen = 0;
    for (let token = first[unit]; token < first[unit + 1]; token++)
      if (Number.isFinite(values[token])) { sum += values[token]; seen++; }
    return seen ? (total ? sum : sum / seen) : NaN;
  });

  // From the lowest number to the 99th percentile, so that one extreme does not hide all others; to
  // the highest if that is less than double, on a scale of logarithms, and of shares, where the extreme
  // is what there is to see. Multiples begin at one.
  const range = (values, kind) => {
    const seen = values.filter(Number.isFinite).sort();
    if (!seen.length) return {low: 0, high: 0, clipped: false};
    const low = kind === 'times' ? 1 : kind === 'share' ? 0 : seen[0], top = Math.max(low, seen[seen.length - 1]);
    const most = Math.max(low, seen[Math.floor((seen.length - 1) * .99)]);
    const clipped = kind !== 'log' && kind !== 'share' && top >= 2 * most;
    return {low, high: clipped ? most : top, clipped};
  };
  const position = {
    linear: (value, low, high) => (value - low) / (high - low),
    share: (value, low, high) => (value - low) / (high - low),
    log: (value, low, high) => Math.log1p(Math.max(0, value - low)) / Math.log1p(high - low),
    times: (value, low, high) => Math.log(Math.max(low, value) / low) / Math.log(high / low),
  };
  const levels = (values, kind, {low, high}) => Int8Array.from(values, value => {
    if (!Number.isFinite(value)) return -1;
    if (!(high > low)) return 0;
    return Math.max(0, Math.min(LEVELS - 1, Math.floor(position[kind](value, low, high) * LEVELS)));
  });

  // Three digits, which half precision really has; whole numbers up to 2048 are exact.
  const shown = value => {
    if (!Number.isFinite(value)) return '–';
    if (Number.isInteger(value) && Math.abs(value) <= 2048) return String(value);
    return String(Number(value.toPrecision(3)));
  };

  T.values = {LEVELS, numbers, texts, whole, units, gather, range, levels, shown};
})();
