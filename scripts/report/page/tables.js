// Flags, key figures, published values, tables and methods.

function buildFlags() {
  const lines = study.flags.map(({ severity, where, text }) => element("li", { class: severity }, element("b", {}, where), text));
  const first = lines.slice(0, 3), rest = lines.slice(3);
  const list = (items) => element("ul", { class: "flags" }, ...items);
  byId("flags").replaceChildren(...(first.length ? [list(first)] : []),
    ...(rest.length ? [element("details", {}, element("summary", { class: "small" }, `${rest.length} more`), list(rest))] : []));
}

const digitsOf = (unit) => (study.whole_units.includes(unit) ? 0 : 1);

function buildSummary() {
  byId("summary").replaceChildren(...study.first_figures.map((wanted) => {
    const { key, name, value, unit, where } = assessment.summary.find((figure) => figure.key === wanted);
    const published = assessment.reference.filter((one) => one.key === key);
    return element("div", { class: "tile" },
      element("div", { class: "label" }, name),
      element("div", { class: "value" }, words(value, digitsOf(unit)), element("small", {}, unit)),
      published.length ? band(published) : null,
      element("div", { class: "note" }, where));
  }));
  byId("missing").textContent = study.missing.join(" ");
}

/** The study's own value (a line) over published ones (bands: limits, or mean and two standard deviations). */
function band(rows) {
  const bands = rows.map(limits).filter(([from]) => from !== null), { value } = rows[0];
  const places = [...bands.flat(), ...(value === null ? [] : [value])];
  const least = Math.min(...places), most = Math.max(...places), spare = (most - least || 1) * 0.15;
  const at = (place) => (100 * (place - least + spare)) / (most - least + 2 * spare);
  const text = `own value ${words(value)}; published ${rows.map(published).join("; ")}`;
  return element("div", { class: "range", role: "img", "aria-label": text, title: text },
    ...bands.map(([from, to]) => element("i", { style: `left:${at(from)}%;width:${Math.max(2, at(to) - at(from))}%` })),
    value === null ? null : element("b", { style: `left:${at(value)}%` }));
}

function limits({ mean, sd, low, high }) {
  if (low !== null || high !== null) return [low ?? high, high ?? low];
  return mean === null ? [null, null] : [mean - 2 * (sd ?? 0), mean + 2 * (sd ?? 0)];
}

function published({ mean, sd, low, high, unit }) {
  if (mean !== null) return `${words(mean)}${sd === null ? "" : ` ± ${words(sd)}`} ${unit}`;
  return `${words(low)} to ${words(high)} ${unit}`;
}

const atTime = (marker) => (marker ? `${words(marker.value_cm_s)} @ ${words(marker.time_ms, 0)}` : "–");
const codes = (key) => (key === "circumferential" ? ["PC1", "PC2", "PC3"] : ["PS", "PD", "PAS"]);

/** Peaks of one component: rows are slices, sectors or segments. */
function peaks(first, rows) {
  const columns = COMPONENTS.flatMap(({ key, name }) => codes(key).map((code) => [key, code, name]));
  return {
    head: [first, ...columns.map(([, code, name]) => [name, code])],
    rows: rows.map(({ name, markers, chosen }) => ({
      chosen,
      cells: [name, ...columns.map(([key, code]) => atTime(markers.find((marker) => marker.component === key && marker.code === code)))],
    })),
    note: "Peaks in cm/s @ time in ms.",
  };
}

const TABLES = [
  ["Slices", () => peaks("slice", assessment.slices.map((slice, z) => ({
    name: `${z + 1}${slice.level === "none" ? "" : ` ${slice.level}`}`, chosen: z === state.slice,
    markers: slice.markers.filter(({ region }) => region === "global"),
  })))],
  ["Sectors", () => peaks(`slice ${state.slice + 1}`, [...assessment.sectors, ...LAYERS.map(([name]) => name)].map((name) => ({
    name, markers: sliceNow().markers.filter(({ region }) => region === name),
  })))],
  ["Segments", () => peaks("segment", assessment.segments.map((segment) => ({
    name: `${segment.number} ${segment.name}`, markers: segment.markers, chosen: segment.number === state.segment,
  })))],
  ["Summary", () => ({
    head: ["quantity", "value", "unit", "of"],
    rows: assessment.summary.map(({ name, value, unit, where, reason }) => ({ cells: [name, words(value, digitsOf(unit)), unit, reason || where] })),
  })],
  ["Dyssynchrony", () => ({
    head: ["where", "component", "septal PS, ms", "lateral PS, ms", "lateral less septal, ms", "SD of time to PS, ms", "regions"],
    rows: assessment.dyssynchrony.map((row) => ({
      chosen: row.slice === state.slice,
      cells: [row.where, row.component, ...[row.septal_ms, row.lateral_ms, row.septal_lateral_delay_ms, row.sd_time_to_peak_ms].map((ms) => words(ms, 0)), String(row.segments)],
    })),
  })],
];

function drawTable() {
  const { head, rows, note } = TABLES[state.table][1]();
  const cell = (name, content) => element(name, {}, ...(Array.isArray(content) ? [content[0], element("br"), content[1]] : [content]));
  byId("table").replaceChildren(
    rows.length ? element("table", {},
      element("thead", {}, element("tr", {}, ...head.map((content) => cell("th", content)))),
      element("tbody", {}, ...rows.map(({ cells, chosen }) => element("tr", chosen ? { class: "chosen" } : {}, ...cells.map((content) => cell("td", content)))))) : "",
    element("p", { class: "muted small" }, rows.length ? note ?? "" : "Nothing to show for this study: the stack has too few slices with a complete ventricle."));
}

function buildReference() {
  const keys = [...new Set(assessment.reference.map(({ key }) => key))];
  byId("reference-card").hidden = keys.length === 0;
  const lines = (texts) => texts.flatMap((text, k) => (k ? [element("br"), text] : [text]));
  const rows = keys.map((key) => {
    const all = assessment.reference.filter((row) => row.key === key);
    const [{ quantity, where, value, unit }] = all;
    return element("tr", {},
      element("td", {}, quantity, element("div", { class: "muted small" }, where)),
      element("td", {}, element("b", {}, words(value, digitsOf(unit))), ` ${unit}`),
      element("td", { class: "band" }, band(all)),
      element("td", {}, ...lines(all.map(published))),
      element("td", { class: "words" }, ...lines(all.map(({ population, source }) => `${population}; ${source}`))));
  });
  byId("reference").replaceChildren(element("table", {},
    element("thead", {}, element("tr", {}, ...["quantity", "this study", "", "published", "in whom; by whom"].map((text) => element("th", {}, text)))),
    element("tbody", {}, ...rows)));
}

function buildMethods() {
  const sayings = (title, content) => {
    const items = Array.isArray(content) ? content.map((text) => ["", text]) : Object.entries(content);
    return items.length ? [element("h3", {}, title), element("ul", {}, ...items.map(([key, text]) =>
      element("li", {}, key ? element("b", {}, `${key.replaceAll("_", " ")}: `) : null, text)))] : [];
  };
  const { software, conventions, methods } = assessment;
  byId("methods").replaceChildren(
    ...sayings("Notes on this study", assessment.study.notes), ...sayings("Signs, views and units", conventions),
    ...sayings("How it was made", methods), ...sayings("On this page", study.display),
    ...sayings("Where values came from", assessment.study.sources), ...sayings("Versions", software));
}

function buildTables() {
  byId("name").textContent = assessment.study.name;
  byId("subtitle").textContent = study.subtitle;
  document.title = `${assessment.study.name}: velocity report`;
  byId("colophon").textContent = assessment.disclaimer;
  choice("tabs", "table", TABLES.map(([name], k) => [k, name]));
  watch(["table", "slice", "segment"], drawTable);
  buildFlags(); buildSummary(); buildReference(); buildMethods(); drawTable();
}
