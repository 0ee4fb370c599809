// Starts the page: playing, keyboard, dark and light.

let last = 0; // time of the last picture of the cine that is playing, ms
let rest = 0; // time that was not yet played, ms

function play(now) {
  if (!state.playing) return;
  const step = sliceNow().times_ms[1] / Number(byId("speed").value);
  rest += Math.min(now - last, 250);
  last = now;
  const frames = Math.floor(rest / step);
  rest -= frames * step;
  if (frames) change({ frame: cyclic(state.frame + frames) });
  requestAnimationFrame(play);
}

function stepBy(frames) {
  change({ frame: cyclic(state.frame + frames), playing: false });
}

const KEYS = {
  " ": () => change({ playing: !state.playing }),
  ArrowLeft: () => stepBy(-1),
  ArrowRight: () => stepBy(1),
  ArrowUp: () => change({ slice: Math.max(0, state.slice - 1) }),
  ArrowDown: () => change({ slice: Math.min(study.slices.length - 1, state.slice + 1) }),
  r: () => change({ component: 0 }),
  c: () => change({ component: 1 }),
  l: () => change({ component: 2 }),
  v: () => change({ colour: !state.colour }),
  a: () => change({ arrows: !state.arrows }),
  o: () => change({ outlines: !state.outlines }),
  s: () => change({ sectors: !state.sectors }),
  d: () => dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark"),
};

function dress(theme) {
  document.documentElement.dataset.theme = theme;
}

document.addEventListener("keydown", (event) => {
  const act = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  const own = event.key === " " ? "button, summary, select" : "select"; // what uses the key itself, while it has the focus
  if (!act || event.ctrlKey || event.metaKey || event.altKey || event.target.closest(own)) return;
  event.preventDefault(); // space and arrows scroll
  act();
});
// A button that was clicked gives the focus back, so that space plays; one that was reached by keyboard keeps it.
document.addEventListener("click", (event) => event.detail > 0 && event.target.closest("button")?.blur());
byId("play").addEventListener("click", KEYS[" "]);
byId("back").addEventListener("click", KEYS.ArrowLeft);
byId("forth").addEventListener("click", KEYS.ArrowRight);
byId("theme").addEventListener("click", KEYS.d);
watch(["playing"], () => {
  byId("play").textContent = state.playing ? "❚❚" : "▶";
  byId("play").setAttribute("aria-pressed", state.playing);
  [last, rest] = [performance.now(), 0];
  if (state.playing) requestAnimationFrame(play);
});

dress(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
buildTables();
buildBullseye();
buildCharts();
await buildViewer();
document.documentElement.dataset.ready = "yes";
