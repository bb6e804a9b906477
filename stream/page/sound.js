// What is heard: a spectrogram of it, and a player for it. Samples are mono at 16 kHz.

export const SAMPLE_RATE_HZ = 16000;
const FFT_SIZE = 512, HOP = 256; // 32 ms windows, a column every 16 ms
const FLOOR_DB = -90, CEILING_DB = -20; // of a full-scale sine
const MAGMA = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];

const PALETTE = Array.from({ length: 256 }, (_, level) => {
  const place = (level / 255) * (MAGMA.length - 1), left = Math.min(Math.floor(place), MAGMA.length - 2);
  return MAGMA[left].map((from, k) => Math.round(from + (place - left) * (MAGMA[left + 1][k] - from)));
});
const HANN = Float32Array.from({ length: FFT_SIZE }, (_, n) => 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / FFT_SIZE));

/** Iterative radix-2 Fourier transform, in place. */
function fft(re, im) {
  const n = re.length;
  for (let i = 1, j = 0; i < n; i++) {
    let bit = n >> 1;
    for (; j & bit; bit >>= 1) j ^= bit;
    j ^= bit;
    if (i < j) { [re[i], re[j]] = [re[j], re[i]]; [im[i], im[j]] = [im[j], im[i]]; }
  }
  for (let size = 2; size <= n; size *= 2) {
    for (let k = 0; k < size / 2; k++) {
      const angle = (-2 * Math.PI * k) / size, c = Math.cos(angle), s = Math.sin(angle);
      for (let a = k; a < n; a += size) {
        const b = a + size / 2, x = re[b] * c - im[b] * s, y = re[b] * s + im[b] * c;
        re[b] = re[a] - x; im[b] = im[a] - y; re[a] += x; im[a] += y;
      }
    }
  }
}

/** A picture that moves to the left as sound comes in; time goes on in silence, too. */
export class Spectrogram {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", { willReadFrequently: true });
    this.column = this.context.createImageData(1, canvas.height);
    this.waiting = new Float32Array(0);
    this.heardAt = 0;
    setInterval(() => this.rest(), 80);
  }

  add(samples) {
    this.heardAt = performance.now();
    const all = new Float32Array(this.waiting.length + samples.length);
    all.set(this.waiting);
    all.set(samples, this.waiting.length);
    let start = 0;
    for (; start + FFT_SIZE <= all.length; start += HOP) this.draw(all.subarray(start, start + FFT_SIZE));
    this.waiting = all.slice(start);
  }

  /** Empty columns while nothing comes. */
  rest() {
    if (performance.now() - this.heardAt < 300) return;
    this.waiting = new Float32Array(0);
    for (let k = 0; k < 5; k++) this.draw(null);
  }

  draw(samples) {
    const { width, height } = this.canvas, levels = new Float32Array(height).fill(FLOOR_DB);
    if (samples) {
      const re = samples.map((value, n) => value * HANN[n]), im = new Float32Array(FFT_SIZE), bins = FFT_SIZE / 2 / height;
      fft(re, im);
      for (let row = 0; row < height; row++) {
        let power = 0;
        for (let bin = row * bins; bin < (row + 1) * bins; bin++) power = Math.max(power, re[bin] ** 2 + im[bin] ** 2);
        levels[row] = 10 * Math.log10(power / (FFT_SIZE / 4) ** 2 + 1e-12);
      }
    }
    levels.forEach((db, row) => {
      const shade = Math.round((255 * Math.min(Math.max(db - FLOOR_DB, 0), CEILING_DB - FLOOR_DB)) / (CEILING_DB - FLOOR_DB));
      this.column.data.set([...PALETTE[shade], 255], 4 * (height - 1 - row));
    });
    this.context.drawImage(this.canvas, -1, 0);
    this.context.putImageData(this.column, width - 1, 0);
  }
}

/** Plays blocks one after the other without a gap; after a pause with a little room for jitter. */
export class Player {
  static LEAD_S = 0.2;
  static LONGEST_S = 1.0; // that may wait: what is more is left out, so that the delay does not grow

  start(volume) {
    this.context ??= new AudioContext({ sampleRate: SAMPLE_RATE_HZ });
    this.gain ??= new GainNode(this.context);
    this.gain.connect(this.context.destination);
    this.volume(volume);
    this.next = 0;
    return this.context.resume();
  }

  stop() {
    return this.context?.suspend();
  }

  volume(value) {
    if (this.gain) this.gain.gain.value = value;
  }

  play(samples) {
    if (this.context?.state !== "running") return;
    const now = this.context.currentTime;
    if (this.next < now) this.next = now + Player.LEAD_S;
    if (this.next - now > Player.LONGEST_S) return;
    const buffer = this.context.createBuffer(1, samples.length, SAMPLE_RATE_HZ);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.gain);
    source.start(this.next);
    this.next += buffer.duration;
  }
}
