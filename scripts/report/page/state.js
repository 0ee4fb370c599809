// The study, the one state that every part of the page shows, and small helpers.

const study = JSON.parse(document.getElementById("data").textContent);
const assessment = study.assessment;
const FRAMES = assessment.study.frames;
const COMPONENTS = study.components; // name, key, positive, negative, limit (cm/s) of radial, circumferential, longitudinal
const NO_WALL = study.no_wall;

const state = {
  slice: study.first_slice,
  frame: study.first_frame,
  component: study.first_component,
  colour: true,
  arrows: false,
  outlines: true,
  sectors: false,
  family: "velocity",
  region: "global",
  segment: null, // number of a segment of the bullseye
  quantity: 0,
  table: 0,
  playing: false,
};
const watchers = [];
let changed = new Set();

/** Calls `draw(changed keys)` at the next picture after any of `keys` changed, and once at the start. */
function watch(keys, draw) {
  watchers.push({ keys, draw });
}

/** Changes the state; all that shows it is drawn before the next picture. */
function change(patch) {
  for (const [key, value] of Object.entries(patch)) {
    if (state[key] === value) continue;
    state[key] = value;
    if (changed.size === 0) requestAnimationFrame(redraw);
    changed.add(key);
  }
}

function redraw() {
  const keys = changed;
  changed = new Set();
  for (const watcher of watchers) if (watcher.keys.some((key) => keys.has(key))) watcher.draw(keys);
}

const byId = (id) => document.getElementById(id);
const sliceNow = () => assessment.slices[state.slice];
const componentNow = () => COMPONENTS[state.component];
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const cyclic = (frame) => ((frame % FRAMES) + FRAMES) % FRAMES;

/** A number for people: fixed digits, a true minus sign, a dash for what is absent. */
function words(value, digits = 1) {
  if (value === null || value === undefined) return "–";
  const text = value.toFixed(digits);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** An element with attributes, listeners (keys that begin with "on") and children. */
function element(name, attributes = {}, ...children) {
  const svg = ["svg", "g", "path", "line", "rect", "circle", "text", "title"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** Buttons of which one is pressed: `choices` are [value, text, title]; the state's `key` holds the value. */
function choice(id, key, choices) {
  const buttons = choices.map(([value, text, title]) =>
    element("button", { title, "data-value": value, onclick: () => change({ [key]: value }) }, text),
  );
  byId(id).replaceChildren(...buttons);
  const show = () => buttons.forEach((button, k) => button.setAttribute("aria-pressed", state[key] === choices[k][0]));
  watch([key], show);
  show();
}

/** Buttons that are on or off: `choices` are [key of the state, text, title]. */
function switches(id, choices) {
  const buttons = choices.map(([key, text, title]) =>
    element("button", { title, "data-value": key, onclick: () => change({ [key]: !state[key] }) }, text),
  );
  byId(id).replaceChildren(...buttons);
  const show = () => buttons.forEach((button, k) => button.setAttribute("aria-pressed", state[choices[k][0]]));
  watch(choices.map(([key]) => key), show);
  show();
}

/** Red, green, blue of a velocity between -limit and limit: the diverging map, zero in its middle. */
function colourOf(value, limit) {
  const place = Math.round(clamp((value / limit + 1) / 2, 0, 1) * 255) * 3;
  return study.diverging.slice(place, place + 3);
}

/** Ticks at round numbers inside [low, high]. */
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((candidate) => candidate >= rough);
  const found = [];
  for (let k = Math.ceil(low / step); k * step <= high + 1e-9; k++) found.push(k * step);
  return found;
}

/** Bytes behind base64 of zlib. */
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"))).arrayBuffer();
}
