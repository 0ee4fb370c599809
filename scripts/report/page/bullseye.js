// The bullseye: a value of each segment; choosing one shows its curve and its place in the cine.

const MARKERS = {
  PS: "peak systolic", PD: "peak early diastolic", PAS: "peak atrial systolic",
  PC1: "first circumferential peak", PC2: "second circumferential peak", PC3: "third circumferential peak",
};
// Walls of the AHA's segments, in degrees clockwise from the middle of the septum, which lies left.
const BASAL = [["A", 60], ["AS", 0], ["IS", 300], ["I", 240], ["IL", 180], ["AL", 120]];
const APICAL = [["A", 45], ["S", -45], ["I", 225], ["L", 135]];
const LEAST_SPAN = 60; // ms
const RINGS = { base: [1, 0.68], mid: [0.67, 0.38], apex: [0.37, 0.1] };

/** The AHA's 16 segments; where the stack is too short for them, the six sectors of the slice on screen. */
function segmentsShown() {
  if (assessment.segments.length) {
    return assessment.segments.map((segment) => {
      const apical = segment.level === "apex";
      const [short, begin] = apical ? APICAL[segment.number - 13] : BASAL[(segment.number - 1) % 6];
      return { ...segment, short: `${segment.number} ${short}`, begin, width: apical ? 90 : 60, ring: RINGS[segment.level] };
    });
  }
  const slice = sliceNow();
  return assessment.sectors.map((name, k) => ({
    number: k + 1, name: `sector ${name} of slice ${state.slice + 1}`, short: name, begin: 60 * k, width: 60,
    ring: [1, 0.5], slices: [state.slice], markers: slice.markers.filter(({ region }) => region === name),
    velocity_cm_s: Object.fromEntries(COMPONENTS.map(({ key }) => [key, slice.velocity_cm_s[key]?.sectors_6?.[k]])),
  }));
}

const chosenSegment = () => (state.segment === null ? null : segmentsShown().find(({ number }) => number === state.segment));

/** Chooses a segment (again: none), and brings a slice that shows it. */
function chooseSegment(segment) {
  if (segment.number === state.segment) return change({ segment: null, region: "global" });
  const patch = { segment: segment.number, region: "segment", family: "velocity" };
  if (segment.slices.length && !segment.slices.includes(state.slice)) patch.slice = segment.slices[segment.slices.length >> 1];
  change(patch);
}

// Every quantity that the markers give: value and time of each.
const QUANTITIES = COMPONENTS.flatMap(({ key, name }) =>
  (key === "circumferential" ? ["PC1", "PC2", "PC3"] : ["PS", "PD", "PAS"]).flatMap((code) => [
    { key, code, field: "value_cm_s", unit: "cm/s", digits: 1, text: `${name}: ${code}, ${MARKERS[code]} (cm/s)` },
    { key, code, field: "time_ms", unit: "ms", digits: 0, text: `${name}: time of ${code} (ms)` },
  ]),
);

function drawBullseye() {
  const quantity = QUANTITIES[state.quantity], segments = segmentsShown();
  const values = segments.map(({ markers }) =>
    markers.find(({ component, code }) => component === quantity.key && code === quantity.code)?.[quantity.field] ?? null);
  const present = values.filter((value) => value !== null);
  const speed = quantity.field === "value_cm_s";
  const limit = Math.max(0.1, ...present.map(Math.abs)) * 1.2; // not all of the wall in the darkest colour
  // Times that lie within a frame or two must not look apart: their scale is at least LEAST_SPAN wide.
  const middleTime = (Math.min(...present) + Math.max(...present)) / 2;
  const span = Math.max(LEAST_SPAN, Math.max(...present) - Math.min(...present)) / 2;
  const [low, high] = speed ? [-limit, limit] : [middleTime - span, middleTime + span];
  const map = speed ? study.diverging : study.sequential;
  const colour = (value) => {
    const place = Math.round(((value - low) / (high - low)) * 255) * 3;
    return map.slice(place, place + 3);
  };
  const R = 150, middle = 186;
  const at = (degrees, r) => {
    const angle = ((degrees + 180) * Math.PI) / 180; // the septum lies left
    return [middle + r * R * Math.cos(angle), middle + r * R * Math.sin(angle)];
  };
  const svg = element("svg", { viewBox: `0 0 ${2 * middle} ${2 * middle + 34}`, role: "group", "aria-label": quantity.text });
  segments.forEach((segment, k) => {
    const { begin, width, ring: [outer, inner] } = segment, value = values[k];
    const [[ax, ay], [bx, by], [cx, cy], [dx, dy]] = [at(begin, outer), at(begin + width, outer), at(begin + width, inner), at(begin, inner)];
    const rgb = value === null ? null : colour(value);
    const dark = rgb && 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] < 125;
    const ink = rgb ? (dark ? "#fff" : "#111") : "var(--muted)";
    const label = `${segment.name}: ${words(value, quantity.digits)} ${quantity.unit}`;
    const [x, y] = at(begin + width / 2, (outer + inner) / 2);
    svg.append(
      element("path", {
        class: "segment", tabindex: 0, role: "button", "aria-pressed": segment.number === state.segment, "aria-label": label,
        "data-segment": segment.number, style: `fill:${rgb ? `rgb(${rgb})` : "var(--line)"}`,
        d: `M${ax} ${ay}A${outer * R} ${outer * R} 0 0 1 ${bx} ${by}L${cx} ${cy}A${inner * R} ${inner * R} 0 0 0 ${dx} ${dy}Z`,
        onclick: () => chooseSegment(segment),
        onkeydown: (event) => {
          if (!["Enter", " "].includes(event.key)) return;
          event.preventDefault();
          event.stopPropagation();
          chooseSegment(segment);
        },
      }, element("title", {}, label)),
      element("text", { class: "seg-value", x, y: y + 3, style: `fill:${ink}` }, words(value, quantity.digits)),
      element("text", { class: "seg-name", x, y: y + 15, style: `fill:${ink}` }, segment.short),
    );
  });
  const walls = [["anterior", 90], ["septal", 0], ["inferior", 270], ["lateral", 180]];
  for (const [name, degrees] of walls) {
    const [x, y] = at(degrees, 1.09);
    const turn = degrees % 180 === 0 ? `rotate(${degrees === 0 ? -90 : 90} ${x} ${y})` : null;
    svg.append(element("text", { class: "wall", x, y: y + (turn ? 0 : 4), transform: turn }, name));
  }
  if (present.length) svg.append(...scaleOf(map, low, high, quantity, 2 * middle));
  const focused = document.activeElement?.dataset?.segment;
  byId("bullseye").replaceChildren(svg);
  if (focused) svg.querySelector(`[data-segment="${focused}"]`)?.focus();
}

/** A strip of the colours, and what its ends mean. */
function scaleOf(map, low, high, { unit, digits }, width) {
  const strip = Array.from({ length: 64 }, (_, k) =>
    element("rect", { x: width / 2 - 96 + k * 3, y: width + 4, width: 3.2, height: 8, fill: `rgb(${map.slice(k * 12, k * 12 + 3)})` }));
  const ends = [[low, "end", -102], [high, "start", 102]].map(([value, anchor, x]) =>
    element("text", { x: width / 2 + x, y: width + 12, style: `text-anchor:${anchor}` }, `${words(value, digits)}${anchor === "start" ? ` ${unit}` : ""}`));
  return [...strip, ...ends];
}

function buildBullseye() {
  byId("segments-title").textContent = assessment.segments.length ? "Segments (AHA 16)" : "Sectors of the slice";
  byId("quantity").replaceChildren(...QUANTITIES.map(({ text }, k) => element("option", { value: k }, text)));
  byId("quantity").value = state.quantity;
  byId("quantity").addEventListener("change", (event) => change({ quantity: Number(event.target.value) }));
  watch(assessment.segments.length ? ["quantity", "segment"] : ["quantity", "segment", "slice"], drawBullseye);
  drawBullseye();
}
