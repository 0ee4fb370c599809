// The cine, with velocities, outlines and sectors over it.

const canvas = byId("image");
const W = study.width, H = study.height; // pixels of a frame
const [DX, DY] = study.pixel_mm;
const loaded = new Map(); // slice -> promise of its decoded parts
const cell = new OffscreenCanvas(W, H), cellContext = cell.getContext("2d");
const paint = new OffscreenCanvas(W, H), paintContext = paint.getContext("2d");
let shown = null; // decoded parts of the slice on screen

function load(z) {
  if (!loaded.has(z)) loaded.set(z, decode(study.slices[z]));
  return loaded.get(z);
}

async function decode(packed) {
  const cine = new Image();
  cine.src = `data:image/webp;base64,${packed.cine}`;
  const [velocity, outlines] = await Promise.all([unpacked(packed.velocity), unpacked(packed.outlines), cine.decode()]);
  return { cine, velocity: new Int8Array(velocity), outlines: JSON.parse(new TextDecoder().decode(outlines)) };
}

/** Velocity steps (W x H) of a component in a frame. */
function steps(component, frame) {
  const size = W * H;
  return shown.velocity.subarray((component * FRAMES + frame) * size, (component * FRAMES + frame + 1) * size);
}

const inUnits = (step, component) => (step * COMPONENTS[component].limit) / study.steps;

async function showSlice() {
  const z = state.slice;
  const parts = await load(z);
  if (z !== state.slice) return; // another slice was chosen meanwhile
  shown = parts;
  canvas.dataset.slice = z;
  draw();
  if (z + 1 < study.slices.length) load(z + 1);
}

function fit() {
  const stage = canvas.parentElement.clientWidth;
  const wide = W * DX, high = H * DY;
  const scale = Math.min(stage / wide, 560 / high);
  const ratio = window.devicePixelRatio || 1;
  canvas.style.width = `${Math.round(wide * scale)}px`;
  canvas.style.height = `${Math.round(high * scale)}px`;
  canvas.width = Math.round(wide * scale * ratio);
  canvas.height = Math.round(high * scale * ratio);
  draw();
}

function draw() {
  if (!shown) return;
  const context = canvas.getContext("2d");
  const sx = canvas.width / W, sy = canvas.height / H;
  const row = Math.floor(state.frame / study.columns), column = state.frame % study.columns;
  cellContext.drawImage(shown.cine, column * W, row * H, W, H, 0, 0, W, H);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.imageSmoothingEnabled = true;
  context.imageSmoothingQuality = "high";
  context.drawImage(cell, 0, 0, canvas.width, canvas.height);
  const [outer, pool] = shown.outlines[state.frame].map((lines) => path(lines, sx, sy));
  if (state.colour) {
    paintVelocity(state.component, state.frame);
    const wall = new Path2D();
    wall.addPath(outer);
    wall.addPath(pool);
    context.save();
    context.clip(wall, "evenodd");
    context.globalAlpha = 0.92;
    context.drawImage(paint, 0, 0, canvas.width, canvas.height);
    context.restore();
  }
  const thin = canvas.width / canvas.clientWidth;
  if (state.outlines) {
    stroke(context, outer, "#7fd0ff", 1.4 * thin);
    stroke(context, pool, "#ffc14d", 1.4 * thin);
  }
  if (state.sectors || state.segment !== null) drawSectors(context, sx, sy, thin);
  if (state.arrows) drawArrows(context, sx, sy, thin);
  canvas.dataset.frame = state.frame;
}

function path(lines, sx, sy) {
  const made = new Path2D();
  for (const line of lines) {
    for (let k = 0; k < line.length; k += 2) {
      const x = (line[k] / study.parts + 0.5) * sx, y = (line[k + 1] / study.parts + 0.5) * sy;
      if (k) made.lineTo(x, y);
      else made.moveTo(x, y);
    }
    made.closePath();
  }
  return made;
}

function stroke(context, line, colour, width) {
  context.lineJoin = "round";
  context.lineWidth = width;
  context.strokeStyle = colour;
  context.stroke(line);
}

/** Colours the wall, and two pixels around it, so that smoothing does not pale its edge; the outlines cut it. */
function paintVelocity(component, frame) {
  let values = Float32Array.from(steps(component, frame), (step) => (step === NO_WALL ? NaN : step));
  for (let round = 0; round < 2; round++) values = grown(values);
  const picture = paintContext.createImageData(W, H);
  for (let k = 0; k < values.length; k++) {
    if (Number.isNaN(values[k])) continue;
    picture.data.set(colourOf(values[k], study.steps), k * 4);
    picture.data[k * 4 + 3] = 255;
  }
  paintContext.putImageData(picture, 0, 0);
}

function grown(values) {
  const result = values.slice();
  for (let y = 0; y < H; y++) {
    for (let x = 0; x < W; x++) {
      const here = y * W + x;
      if (!Number.isNaN(values[here])) continue;
      let sum = 0, count = 0;
      for (let v = Math.max(0, y - 1); v <= Math.min(H - 1, y + 1); v++) {
        for (let u = Math.max(0, x - 1); u <= Math.min(W - 1, x + 1); u++) {
          const value = values[v * W + u];
          if (!Number.isNaN(value)) { sum += value; count++; }
        }
      }
      if (count) result[here] = sum / count;
    }
  }
  return result;
}

/** Centre of the wall in the crop, in pixels, or null. */
function centre(frame) {
  const found = sliceNow().centroid_pixels?.[frame];
  return found && found[0] !== null ? [found[0] - study.origin[0], found[1] - study.origin[1]] : null;
}

/** Borders and names of the six sectors, and the wedge of the chosen segment if it lies in this slice. */
function drawSectors(context, sx, sy, thin) {
  const middle = centre(state.frame), septum = sliceNow().septum_deg;
  if (!middle || septum === null) return;
  const x = (middle[0] + 0.5) * sx, y = (middle[1] + 0.5) * sy;
  const radius = (study.slices[state.slice].reach_mm * sx) / DX;
  const angle = (degrees) => ((septum + degrees) * Math.PI) / 180;
  const at = (degrees, r) => [x + r * Math.cos(angle(degrees)), y + r * Math.sin(angle(degrees))];
  context.font = `600 ${12 * thin}px system-ui, sans-serif`;
  context.textAlign = "center";
  context.textBaseline = "middle";
  const write = (text, degrees, colour) => {
    context.lineWidth = 3 * thin;
    context.strokeStyle = "#000";
    context.fillStyle = colour;
    context.strokeText(text, ...at(degrees, radius * 1.12));
    context.fillText(text, ...at(degrees, radius * 1.12));
  };
  if (state.sectors) {
    const rays = new Path2D();
    assessment.sectors.forEach((_, k) => {
      rays.moveTo(...at(60 * k, radius * 0.12));
      rays.lineTo(...at(60 * k, radius));
    });
    stroke(context, rays, "rgb(0 0 0 / 55%)", 3 * thin);
    stroke(context, rays, "rgb(255 255 255 / 85%)", thin);
    assessment.sectors.forEach((name, k) => write(name, 60 * k + 30, "#fff"));
  }
  const chosen = chosenSegment();
  if (chosen && chosen.slices.includes(state.slice)) {
    const arc = new Path2D();
    arc.arc(x, y, radius, angle(chosen.begin), angle(chosen.begin + chosen.width));
    stroke(context, arc, "#ffe14d", 3 * thin);
    if (!state.sectors) write(chosen.short, chosen.begin + chosen.width / 2, "#ffe14d");
  }
}

/** In-plane motion, bulk motion removed, on a grid of about 15 points of the screen. */
function drawArrows(context, sx, sy, thin) {
  const middle = centre(state.frame);
  if (!middle) return;
  const radial = steps(0, state.frame), circumferential = steps(1, state.frame);
  const limit = Math.max(COMPONENTS[0].limit, COMPONENTS[1].limit);
  const stride = Math.max(1, Math.round((15 * thin) / sx));
  const length = (26 * thin) / limit; // on screen for 1 cm/s
  const arrows = new Path2D();
  for (let y = stride >> 1; y < H; y += stride) {
    for (let x = stride >> 1; x < W; x += stride) {
      const here = y * W + x;
      if (radial[here] === NO_WALL) continue;
      const dx = (x - middle[0]) * DX, dy = (y - middle[1]) * DY, r = Math.hypot(dx, dy) || 1;
      const inward = inUnits(radial[here], 0), turn = inUnits(circumferential[here], 1);
      // Y runs down, so counter-clockwise turns outward (dx, dy) into (dy, -dx).
      arrow(arrows, (x + 0.5) * sx, (y + 0.5) * sy, length * (-inward * dx + turn * dy) / r, length * (-inward * dy - turn * dx) / r, thin);
    }
  }
  const key = limit >= 4 ? 2 : 1;
  arrow(arrows, 12 * thin, canvas.height - 44 * thin, length * key, 0, thin);
  stroke(context, arrows, "rgb(0 0 0 / 75%)", 3.2 * thin);
  stroke(context, arrows, "#ffffff", 1.4 * thin);
  context.font = `${11 * thin}px system-ui, sans-serif`;
  context.textAlign = "left";
  context.textBaseline = "middle";
  context.fillStyle = "#fff";
  context.fillText(`${key} cm/s in the plane`, 18 * thin + length * key, canvas.height - 44 * thin);
}

function arrow(target, x, y, u, v, thin) {
  const long = Math.hypot(u, v);
  if (long < 1.5 * thin) return;
  const head = Math.min(5 * thin, long * 0.5);
  const tip = [x + u, y + v];
  target.moveTo(x, y);
  target.lineTo(...tip);
  for (const side of [0.45, -0.45]) {
    const angle = Math.atan2(v, u) + Math.PI + side;
    target.moveTo(...tip);
    target.lineTo(tip[0] + head * Math.cos(angle), tip[1] + head * Math.sin(angle));
  }
}

function corners() {
  const slice = sliceNow();
  const time = slice.times_ms[state.frame];
  byId("where").textContent = `slice ${state.slice + 1} of ${study.slices.length}${slice.level === "none" ? "" : `, ${slice.level}`}\n${
    slice.found ? "" : "no complete ventricle"}`;
  const kind = assessment.study.acquired[state.frame] ? "acquired" : "interpolated";
  byId("when").textContent = `${words(time, 0)} ms · ${words((100 * time) / slice.rr_ms, 0)} % RR\nframe ${state.frame + 1} of ${FRAMES}, ${kind}`;
  byId("frame").value = state.frame;
  byId("frame").setAttribute("aria-valuetext", `frame ${state.frame + 1}, ${words(time, 0)} ms`);
}

function scale() {
  const { limit, positive, negative } = componentNow();
  const bar = byId("scale-bar").getContext("2d");
  const picture = bar.createImageData(256, 1);
  for (let k = 0; k < 256; k++) picture.data.set([...study.diverging.slice(k * 3, k * 3 + 3), 255], k * 4);
  bar.putImageData(picture, 0, 0);
  byId("scale-words-low").textContent = negative;
  byId("scale-words-high").textContent = positive;
  const values = [-limit, -limit / 2, 0, limit / 2, limit];
  byId("scale-ticks").replaceChildren(
    ...values.map((value) => element("span", {}, value ? words(value, limit % 2 ? 1 : 0) : "0 cm/s")),
  );
}

function point(event) {
  const box = canvas.getBoundingClientRect();
  const x = Math.floor(((event.clientX - box.left) / box.width) * W);
  const y = Math.floor(((event.clientY - box.top) / box.height) * H);
  const inside = shown && x >= 0 && y >= 0 && x < W && y < H;
  const values = inside ? COMPONENTS.map((_, k) => steps(k, state.frame)[y * W + x]) : [NO_WALL];
  byId("pointed").textContent = values[0] === NO_WALL ? "" : COMPONENTS.map(({ name, limit }, k) => {
    const edge = Math.abs(values[k]) === study.steps ? (values[k] > 0 ? "≥ " : "≤ ") : "";
    return `${name} ${edge}${words(inUnits(values[k], k))}`;
  }).join(" · ") + " cm/s";
}

function buildViewer() {
  byId("frame").max = FRAMES - 1;
  byId("view").textContent = assessment.study.view_known ? "from the apex" : "view as stored";
  byId("frame").addEventListener("input", (event) => change({ frame: Number(event.target.value), playing: false }));
  canvas.addEventListener("pointermove", point);
  canvas.addEventListener("pointerleave", () => (byId("pointed").textContent = ""));
  choice("components", "component", COMPONENTS.map(({ name }, k) => [k, name, `${name} velocity (${name[0].toUpperCase()})`]));
  switches("layers", [
    ["colour", "Colour", "Velocity as colour (V)"], ["arrows", "Arrows", "Motion in the plane as arrows (A)"],
    ["outlines", "Outlines", "Labels as outlines (O)"], ["sectors", "Sectors", "Sectors of the wall (S)"],
  ]);
  byId("slices").replaceChildren(...study.slices.map((packed, z) =>
    element("button", { "aria-label": `Slice ${z + 1}`, title: `Slice ${z + 1} (↑ ↓)`, onclick: () => change({ slice: z }) },
      element("img", { src: `data:image/webp;base64,${packed.thumbnail}`, alt: "" }), String(z + 1)),
  ));
  const press = () => [...byId("slices").children].forEach((button, z) => button.setAttribute("aria-pressed", z === state.slice));
  watch(["slice"], () => { press(); showSlice(); });
  watch(["frame", "component", "colour", "arrows", "outlines", "sectors", "segment"], draw);
  watch(["frame", "slice"], corners);
  watch(["component"], scale);
  press(); corners(); scale();
  new ResizeObserver(fit).observe(canvas.parentElement);
  return showSlice();
}
