// Curves over the cycle, with a cursor at the frame on screen, and the map of 24 sectors over time.

const SECTOR_COLOURS = ["#d98e00", "#56b4e9", "#009e73", "#cc79a7", "#3b7dd8", "#d55e00"];
const LAYERS = [["endo", "#d55e00"], ["mid", "#009e73"], ["epi", "#3b7dd8"]];
const MARGIN = { left: 38, right: 10, top: 8, bottom: 20 };
const charts = []; // what is drawn: one entry a chart, with the functions that follow the cursor
let hovered = null; // frame under the pointer, or null

const colourName = (component) => `var(--${COMPONENTS[component].name})`;

/** Curves of the chosen regions out of region sets ("global", "sectors_6", ...): [{ name, values, colour, faint }]. */
function entries(sets, component, segmentCurve) {
  const whole = { name: "global", values: sets?.global, colour: colourName(component) };
  let found = [whole];
  if (state.region === "sectors_6" && sets?.sectors_6) {
    found = sets.sectors_6.map((values, k) => ({ name: assessment.sectors[k], values, colour: SECTOR_COLOURS[k] }));
  } else if (state.region === "layers_3" && sets?.layers_3) {
    found = sets.layers_3.map((values, k) => ({ name: LAYERS[k][0], values, colour: LAYERS[k][1] }));
  } else if (state.region === "segment" && segmentCurve) {
    found = [{ name: chosenSegment().short, values: segmentCurve, colour: colourName(component) }, { ...whole, faint: true }];
  }
  return found.filter(({ values }) => values?.some((value) => value !== null));
}

/** The charts of each family, for the slice on screen; `at` holds the times of curves of the whole ventricle. */
const FAMILIES = {
  velocity: () => COMPONENTS.map(({ key, name, positive }, k) => {
    const segment = chosenSegment();
    const source = state.region === "segment" && segment ? segment.markers : sliceNow().markers.filter(({ region }) => region === "global");
    return {
      title: name, sign: `+ ${positive}`, unit: "cm/s", digits: 1,
      lines: entries(sliceNow().velocity_cm_s[key], k, segment?.velocity_cm_s[key]),
      markers: ["global", "segment"].includes(state.region) ? source.filter(({ component }) => component === key) : [],
      reach: reach((slice) => slice.velocity_cm_s[key]),
    };
  }),
  strain: () => COMPONENTS.map(({ key, name }, k) => {
    const own = sliceNow().strain_percent[key];
    const stack = own ? null : assessment.stack?.strain_percent[key];
    return {
      title: `${name} strain`, sign: stack ? "whole ventricle" : "", unit: "%", digits: 1,
      lines: stack ? [{ name: "global", values: stack, colour: colourName(k) }] : entries(own, k, null),
      at: stack ? assessment.stack : null,
      reach: stack ? extent(stack) : reach((slice) => slice.strain_percent[key]),
    };
  }),
  twist: () => [
    {
      title: "rotation", sign: "+ counter-clockwise", unit: "°", digits: 1, reach: reach((slice) => ({ global: slice.rotation_deg })),
      lines: [{ name: `slice ${state.slice + 1}`, values: sliceNow().rotation_deg, colour: colourName(0) }],
    },
    ...["twist_deg|twist|°", "torsion_rate_deg_s_cm|torsion rate|°/s/cm"].map((text, k) => {
      const [key, title, unit] = text.split("|"), values = assessment.stack?.[key];
      return { title, sign: "apex less base", unit, digits: 1, reach: extent(values ?? []), at: assessment.stack,
        lines: values ? [{ name: "whole ventricle", values, colour: colourName(k + 1) }] : [] };
    }),
  ],
  volume: () => [["pool_ml", "blood pool"], ["myocardium_ml", "myocardium"]].map(([key, title], k) => {
    const values = assessment.volumes?.[key] ?? [];
    return { title, sign: "whole ventricle", unit: "ml", digits: 0, reach: extent(values), at: assessment.volumes,
      lines: values.length ? [{ name: "volume", values, colour: colourName(k) }] : [] };
  }),
};

function extent(values, [low, high] = [0, 0]) {
  for (const value of values) if (value !== null) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

/** The same scale for every slice and region: least and largest value of any curve of the families' global and six sectors. */
function reach(of) {
  let found = [0, 0];
  for (const slice of assessment.slices) {
    const sets = of(slice);
    for (const curve of [sets?.global ?? [], ...(sets?.sectors_6 ?? []), ...(sets?.layers_3 ?? [])]) found = extent(curve, found);
  }
  return found;
}

function drawCharts() {
  charts.length = 0;
  const made = FAMILIES[state.family]();
  byId("curves").replaceChildren(...made.map((chart, k) => drawChart(chart, k === made.length - 1)));
  const shown = made.some(({ lines }) => lines.length);
  byId("curves-note").textContent = !shown ? "Nothing to show: this slice has no complete ventricle, or the study has one slice only."
    : state.family === "velocity" ? `Mean over the wall of slice ${state.slice + 1}${state.region === "segment" && chosenSegment() ? `; ${chosenSegment().name}` : ""}. `
      + "Shaded: systole. Point at a curve for its values, drag to move through the cycle." : "";
  follow();
}

function drawChart(chart, last) {
  const width = Math.max(240, byId("curves").clientWidth), height = (width > 480 ? 182 : 132) + (last ? 12 : 0);
  const times = chart.at?.times_ms ?? sliceNow().times_ms;
  // Slices are compared at equal fractions of their RR, so every chart shows the same fraction of one.
  const stretch = times[1] / sliceNow().times_ms[1], rr = sliceNow().rr_ms * stretch;
  const [low, high] = chart.reach[0] === chart.reach[1] ? [-1, 1] : chart.reach;
  const pad = (high - low) * 0.1;
  const x = (ms) => MARGIN.left + (ms / rr) * (width - MARGIN.left - MARGIN.right);
  const y = (value) => MARGIN.top + ((high + pad - value) / (high - low + 2 * pad)) * (height - MARGIN.top - MARGIN.bottom);
  const bottom = height - MARGIN.bottom;
  const svg = element("svg", { class: "chart-area", height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `${chart.title}, ${chart.unit}` });
  const es = sliceNow().end_systole_ms;
  if (es !== null) {
    const end = x(es * stretch);
    svg.append(element("rect", { class: "systole", x: x(0), y: MARGIN.top, width: end - x(0), height: bottom - MARGIN.top }));
    svg.append(element("text", { x: end - 3, y: MARGIN.top + 9, "text-anchor": "end" }, "ES"));
  }
  for (const tick of ticks(low - pad, high + pad, 6)) {
    svg.append(element("line", { class: Math.abs(tick) < 1e-9 ? "zero" : "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(tick), y2: y(tick) }));
    svg.append(element("text", { x: MARGIN.left - 6, y: y(tick) + 3.5, "text-anchor": "end" }, words(tick, Number.isInteger(tick) ? 0 : 1)));
  }
  for (const tick of ticks(0, last ? rr * 0.96 : rr, Math.min(8, width / 70))) { // the last chart says ms there
    svg.append(element("text", { x: x(tick), y: height - 5, "text-anchor": "middle" }, words(tick, 0)));
  }
  if (last) svg.append(element("text", { x: width - MARGIN.right, y: height - 5, "text-anchor": "end" }, "ms"));
  for (const line of [...chart.lines].reverse()) {
    svg.append(element("path", { class: line.faint ? "line faint" : "line", style: `stroke:${line.colour}`, d: trace(line.values, times, x, y) }));
  }
  for (const marker of chart.markers ?? []) svg.append(...drawMarker(marker, (percent) => x((percent * rr) / 100), y, chart.lines[0]?.colour));
  const cursor = element("line", { class: "cursor", y1: MARGIN.top, y2: bottom });
  const dots = chart.lines.map(({ colour }) => element("circle", { r: 3.2, style: `fill:${colour}` }));
  svg.append(cursor, ...dots);

  const values = chart.lines.map(() => element("span"));
  const heading = element("b", {}, chart.title);
  const head = element("div", { class: "chart-head" }, heading, element("span", { class: "muted" }, `${chart.sign ? `${chart.sign}, ` : ""}${chart.unit}`),
    ...chart.lines.map(({ name, colour }, k) => element("span", { class: "entry" }, element("i", { style: `border-color:${colour}` }), name, values[k])));
  charts.push((frame) => {
    cursor.setAttribute("x1", x(times[frame]));
    cursor.setAttribute("x2", x(times[frame]));
    chart.lines.forEach(({ values: curve }, k) => {
      values[k].textContent = words(curve[frame], chart.digits);
      dots[k].setAttribute("cx", x(times[frame]));
      dots[k].setAttribute("cy", curve[frame] === null ? -99 : y(curve[frame]));
    });
  });
  scrub(svg, (event) => {
    const box = svg.getBoundingClientRect();
    const share = (((event.clientX - box.left) / box.width) * width - MARGIN.left) / (width - MARGIN.left - MARGIN.right);
    return clamp(Math.round((share * rr) / (times[1] - times[0])), 0, FRAMES - 1);
  });
  return element("div", { class: "chart" }, head, svg);
}

function trace(values, times, x, y) {
  let pen = "M";
  return values.map((value, k) => {
    const part = value === null ? "" : `${pen}${x(times[k]).toFixed(1)} ${y(value).toFixed(1)}`;
    pen = value === null ? "M" : "L";
    return part;
  }).join("");
}

function drawMarker({ code, value_cm_s: value, time_ms: time, time_percent_rr: percent }, x, y, colour) {
  const above = value >= 0;
  const circle = element("circle", { class: "marker", cx: x(percent), cy: y(value), r: 3.6, style: `stroke:${colour}` },
    element("title", {}, `${MARKERS[code]}: ${words(value)} cm/s at ${words(time, 0)} ms`));
  return [circle, element("text", { class: "marker-name", x: x(percent) + 6, y: y(value) + (above ? -3 : 10) }, `${code} ${words(value)}`)];
}

/** Hovering shows values, pressing moves the cine. */
function scrub(target, frameAt) {
  target.addEventListener("pointermove", (event) => {
    hovered = frameAt(event);
    if (event.buttons) change({ frame: hovered, playing: false });
    follow();
  });
  target.addEventListener("pointerdown", (event) => change({ frame: frameAt(event), playing: false }));
  target.addEventListener("pointerleave", () => { hovered = null; follow(); });
}

function follow() {
  for (const move of charts) move(hovered ?? state.frame);
}

/** Velocity of 24 sectors (rows, from the septum's middle clockwise) over the cycle (columns). */
function drawMap() {
  const { key, name, positive } = componentNow();
  const rows = sliceNow().velocity_cm_s[key]?.sectors_24;
  byId("map-title").textContent = `${name[0].toUpperCase()}${name.slice(1)} velocity, 24 sectors of slice ${state.slice + 1}`;
  const target = byId("map"), context = target.getContext("2d");
  [target.width, target.height] = [FRAMES, 24];
  const limit = mapLimit(key);
  byId("map-note").textContent = rows ? `Colours from −${words(limit)} to ${words(limit)} cm/s, + ${positive}. Time in ms.` : "This slice has no complete ventricle.";
  if (rows) {
    const picture = context.createImageData(FRAMES, 24);
    rows.forEach((row, k) => row.forEach((value, t) => {
      if (value !== null) picture.data.set([...colourOf(value, limit), 255], (k * FRAMES + t) * 4);
    }));
    context.putImageData(picture, 0, 0);
  }
  const whole = FRAMES * sliceNow().times_ms[1]; // a cine that is not cyclic ends before the beat
  byId("map-times").replaceChildren(...ticks(0, whole * 0.97, 6).map((tick) => element("span", { style: `left:${(100 * tick) / whole}%` }, words(tick, 0))));
}

function mapLimit(key) {
  let limit = 0;
  for (const { velocity_cm_s: sets } of assessment.slices) {
    for (const curve of sets[key]?.sectors_24 ?? []) limit = Math.max(limit, ...curve.map((value) => Math.abs(value ?? 0)));
  }
  return limit || 1;
}

function pointMap(event) {
  const box = byId("map").getBoundingClientRect();
  const row = clamp(Math.floor(((event.clientY - box.top) / box.height) * 24), 0, 23);
  const frame = clamp(Math.floor(((event.clientX - box.left) / box.width) * FRAMES), 0, FRAMES - 1);
  const value = sliceNow().velocity_cm_s[componentNow().key]?.sectors_24?.[row][frame];
  if (value !== undefined) {
    byId("map-note").textContent = `Sector ${row + 1} (${assessment.sectors[row >> 2]}): ${words(value)} cm/s at ${words(sliceNow().times_ms[frame], 0)} ms`;
  }
  return frame;
}

function buildCharts() {
  choice("families", "family", [["velocity", "Velocity"], ["strain", "Strain"], ["twist", "Twist"], ["volume", "Volume"]]);
  choice("regions", "region", [["global", "Global"], ["sectors_6", "Six sectors"], ["layers_3", "Layers"], ["segment", "Segment", "The segment chosen in the bullseye"]]);
  byId("map-rows").replaceChildren(...assessment.sectors.map((name) => element("span", {}, name)));
  scrub(byId("map"), pointMap);
  byId("map").addEventListener("pointerleave", drawMap);
  const place = () => (byId("map-cursor").style.left = `${(100 * (state.frame + 0.5)) / FRAMES}%`);
  watch(["slice", "region", "segment", "family"], drawCharts);
  watch(["slice", "component"], drawMap);
  watch(["frame"], () => { follow(); place(); });
  new ResizeObserver(drawCharts).observe(byId("curves").parentElement);
  drawMap();
  place();
}
