// The page of a clari receiver. It only shows what the receiver says (stream/STATS.md) and connects again when it is gone.

import { Player, Spectrogram } from "./sound.js";

const byId = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)} %`;
const seconds = (value) => `${value.toFixed(2)} s`;
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`);

// letter in the strip: [name, colour, height in the strip]; heights tell fates apart where colours do not
const FATES = {
  r: ["received", "received", 0.35], c: ["repaired", "repaired", 0.5], s: ["restored", "restored", 0.65],
  x: ["concealed", "concealed", 1], l: ["late", "late", 0.85], d: ["damaged", "refused", 0.2],
  f: ["forged", "forged", 0.75], y: ["replayed", "forged", 0.2], ".": ["expected", "expected", 0.08],
};
const DELAYS = [
  ["packet_s", "packet", "received"], ["codec_delay_s", "codec", "repaired"],
  ["protection_delay_s", "repair", "restored"], ["jitter_delay_s", "jitter", "late"],
];
const FIGURES = [
  ["Profile", (s) => s.profile || "not known yet"], ["Protection", (s) => s.protection],
  ["Loss before repair", (s) => percent(s.loss_before_repair)], ["Loss after repair", (s) => percent(s.loss_after_repair)],
  ["Bit errors", (s) => (s.bit_error_rate ? s.bit_error_rate.toExponential(1) : "0")], ["Bytes corrected", (s) => s.corrected_bytes],
  ["Concealed", (s) => percent(s.concealed_share)], ["Buffered", (s) => seconds(s.buffered_s)],
  ["Packets received", (s) => s.received_packets], ["Forged", (s) => s.forged_packets],
];
const LONGEST_SILENCE_MS = 5000; // the receiver says something twice a second; without that the connection is dead
const HISTORY_POINTS = 900;
const BAR_PX = 5; // of the strip, with the gap; so many bars as fit are shown

const spectrogram = new Spectrogram(byId("spectrogram"));
const player = new Player();
let points = [], strip = "", heard = 0;

function state(name, text) {
  if (document.body.dataset.connection === name && byId("connection").textContent === text) return; // nothing to announce
  document.body.dataset.connection = name;
  byId("connection").textContent = text;
}

/** The context of a canvas with a dot for every dot of the screen; drawn in CSS pixels. */
function fit(canvas) {
  const ratio = window.devicePixelRatio || 1, { clientWidth: width, clientHeight: height } = canvas;
  const context = canvas.getContext("2d");
  canvas.width = Math.round(width * ratio); // this clears it, too
  canvas.height = Math.round(height * ratio);
  context.scale(ratio, ratio);
  context.font = "12px system-ui, sans-serif";
  return { context, width, height };
}

/** Rows of a definition list: made once, then only their values change. */
function list(target, rows) {
  if (target.children.length !== 2 * rows.length) {
    target.replaceChildren(...rows.flatMap(([name, , shade]) => {
      const term = document.createElement("dt"), value = document.createElement("dd");
      if (shade) {
        const swatch = document.createElement("i");
        swatch.style.background = `var(--${shade})`;
        term.append(swatch);
      }
      term.append(name);
      return [term, value];
    }));
  }
  rows.forEach(([, value], place) => { target.children[2 * place + 1].textContent = value; });
}

function showPackets() {
  const { context, width, height: full } = fit(byId("strip"));
  const shown = strip.slice(-Math.max(1, Math.floor(width / BAR_PX)));
  [...shown].forEach((letter, place) => {
    const [, shade, height] = FATES[letter] ?? FATES["."];
    context.fillStyle = colour(shade);
    context.fillRect(width - (shown.length - place) * BAR_PX, full * (1 - height), BAR_PX - 1, full * height);
  });
  if (!shown) {
    context.fillStyle = colour("dim");
    context.fillText("none yet", 0, full / 2);
  }
  const counts = Object.entries(FATES).filter(([letter]) => letter !== ".").map(([letter, [name, shade, height]]) =>
    [name, shade, shown.split(letter).length - 1, height]);
  const target = byId("fates");
  if (!target.children.length) {
    target.append(...counts.map(([, shade, , height]) => {
      const item = document.createElement("li"), swatch = document.createElement("i");
      swatch.style.background = `var(--${shade})`;
      swatch.style.height = `${height}rem`; // as it stands in the strip
      item.append(swatch, " ", document.createElement("span"));
      return item;
    }));
  }
  counts.forEach(([name, , count], place) => { target.children[place].lastChild.textContent = `${count} ${name}`; });
}

function showDelays(snapshot) {
  const known = snapshot.delay_s > 0, shown = (value) => (known ? seconds(value) : "–");
  list(byId("delays"), [
    ...DELAYS.map(([key, name, shade]) => [name, shown(snapshot[key]), shade]), ["together", shown(snapshot.delay_s), ""],
  ]);
  const bar = byId("delay-bar");
  if (!bar.children.length) {
    bar.append(...DELAYS.map(([, , shade]) => {
      const part = document.createElement("div");
      part.style.background = `var(--${shade})`;
      return part;
    }));
  }
  DELAYS.forEach(([key], place) => { bar.children[place].style.flexGrow = known ? snapshot[key] : 0; });
}

function showHistory() {
  const { context, width, height } = fit(byId("history"));
  context.strokeStyle = colour("edge");
  context.strokeRect(0.5, 0.5, width - 1, height - 1);
  if (points.length < 2) return;
  const most = Math.max(0.1, ...points.map((point) => point[1]));
  const from = points[0][0], span = points[points.length - 1][0] - from || 1;
  [[1, "restored", []], [2, "concealed", [4, 3]]].forEach(([column, shade, dash]) => {
    context.strokeStyle = colour(shade);
    context.lineWidth = 2;
    context.setLineDash(dash);
    context.beginPath();
    points.forEach((point) => context.lineTo(((point[0] - from) / span) * width, height - 3 - (point[column] / most) * (height - 26)));
    context.stroke();
    context.setLineDash([]);
  });
  context.fillStyle = colour("dim");
  context.fillText(`0 to ${percent(most)}, last ${span < 120 ? `${Math.round(span)} s` : `${Math.round(span / 60)} min`}`, 6, 16);
}

function showTexts(texts) {
  const target = byId("texts");
  if (JSON.stringify([...target.children].map((line) => line.textContent)) === JSON.stringify(texts)) return;
  const kept = [...target.children].map((line) => line.textContent);
  if (kept.some((text, place) => text !== texts[place])) target.replaceChildren(); // the list has moved on
  texts.slice(target.children.length).forEach((text) => {
    const line = document.createElement("p");
    line.textContent = text; // of strangers: never markup
    target.append(line);
  });
  target.scrollTop = target.scrollHeight;
}

function show(snapshot) {
  byId("station").textContent = snapshot.station ? `hears ${snapshot.station}` : "receiver";
  const level = snapshot.level_db;
  byId("level").value = level;
  byId("level-text").textContent = level > -60 ? `${level.toFixed(0)} dB` : "silence";
  ({ strip } = snapshot);
  if (!points.length || snapshot.unix_s - points[points.length - 1][0] >= 1) {
    points = [...points, [snapshot.unix_s, snapshot.loss_before_repair, snapshot.loss_after_repair]].slice(-HISTORY_POINTS);
  }
  showPackets();
  showHistory();
  showDelays(snapshot);
  showTexts(snapshot.texts);
  list(byId("figures"), FIGURES.map(([name, value]) => [name, value(snapshot)]));
  if (snapshot.final) state("lost", "The receiver has ended; waiting for its return …");
  else state("live", snapshot.playing ? "Connected, speech is heard" : "Connected, nobody speaks");
}

function connect(delayMs = 500) {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.binaryType = "arraybuffer";
  heard = performance.now();
  const watch = setInterval(() => { if (performance.now() - heard > LONGEST_SILENCE_MS) lost(); }, 1000);
  let over = false;

  /** Once for each connection, whether it says that it is closed or only falls silent. */
  function lost() {
    if (over) return;
    over = true;
    clearInterval(watch);
    socket.close();
    state("lost", "Connection lost; trying again …");
    setTimeout(() => connect(Math.min(2 * delayMs, 4000)), delayMs);
  }

  socket.onclose = lost;
  socket.onmessage = ({ data }) => {
    if (over) return;
    heard = performance.now();
    delayMs = 500;
    if (data instanceof ArrayBuffer) {
      const whole = new Int16Array(data), samples = Float32Array.from(whole, (value) => value / 32768);
      spectrogram.add(samples);
      player.play(samples);
      return;
    }
    const message = JSON.parse(data);
    if (message.kind === "history") points = message.points;
    else show(message);
  };
}

const volume = () => byId("volume").value / 100;
byId("volume").addEventListener("input", () => player.volume(volume()));
byId("listen").addEventListener("click", async () => {
  const on = byId("listen").getAttribute("aria-pressed") !== "true";
  byId("listen").setAttribute("aria-pressed", on);
  await (on ? player.start(volume()) : player.stop());
});
function redraw() {
  showPackets();
  showHistory();
}

matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
window.addEventListener("resize", redraw);
redraw();
connect();
