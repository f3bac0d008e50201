// How the deployment stands: callbacks, Redis, gateways, and a row for each backend.

import { backendDialog } from "./backend.js";
import { bars, lines } from "./charts.js";
import { duration, fill, h, name, perSecond, share, span, write } from "./elements.js";
import { listen } from "./server.js";

export function show(main, _, me) {
  const tiles = makeTiles();
  const table = makeTable(me);
  const hint = h("p", { class: "hint", hidden: true });
  fill(main, h("h2", { class: "unseen" }, "Overview"), tiles.element, hint, table.element);
  return listen("events/overview", {}, "overview", (seen) => {
    tiles.draw(seen);
    table.draw(seen);
    hint.hidden = seen.history !== "off";
    write(hint, 'There are no charts: history.level is "off".');
    main.dataset.drawn = "true";
  });
}

function makeTiles() {
  const chart = bars("Callbacks in five minutes");
  const took = lines("Time of callbacks in five minutes, p50 and p95", 2);
  const facts = {};
  const tile = (key, label, ...more) => {
    facts[key] = h("dd");
    return h("div", { class: "tile" }, h("dt", {}, label), facts[key], ...more);
  };
  const element = h(
    "dl",
    { class: "tiles" },
    tile("rate", "callbacks/s", h("dd", { class: "figure" }, chart.element)),
    tile("wrong", "not code 0"),
    tile("took", "p50 / p95", h("dd", { class: "figure" }, took.element)),
    tile("gateways", "gateways", (facts.differ = h("dd", { class: "note", hidden: true }))),
    tile("redis", "Redis"),
    tile("config", "configuration"),
  );
  return {
    element,
    draw(seen) {
      const { callbacks, redis } = seen;
      write(facts.rate, perSecond(callbacks.per_s));
      write(facts.wrong, share(callbacks.error_share));
      facts.wrong.classList.toggle("bad", callbacks.error_share > 0.05);
      write(facts.took, `${duration(callbacks.p50_ms)} / ${duration(callbacks.p95_ms)}`);
      chart.draw(callbacks.counts, callbacks.wrong, `${perSecond(callbacks.per_s)} a second, ${share(callbacks.error_share)} not code 0`);
      took.draw([callbacks.p50s_ms, callbacks.p95s_ms], `${duration(callbacks.p50_ms)} and ${duration(callbacks.p95_ms)}`);
      write(facts.gateways, seen.gateways === null ? "unknown" : String(seen.gateways));
      write(facts.differ, `${seen.gateways_differ} of another configuration`);
      facts.differ.hidden = !seen.gateways_differ;
      write(facts.redis, redisWord(redis));
      facts.redis.classList.toggle("bad", !redis.up || redis.refuses !== "");
      facts.redis.title = redis.refuses ? redis.refuses : redis.up ? `${redis.version ?? ""}, ${redis.clients ?? "?"} clients` : redis.error;
      write(facts.config, seen.config);
      facts.config.title = `deskgate ${seen.release}`;
    },
  };
}

function redisWord(redis) {
  if (!redis.up) return "lost";
  return redis.refuses ? "takes no writes" : [`${redis.ms.toFixed(1)} ms`, redis.memory].filter(Boolean).join(", ");
}

const COLUMNS = ["backend", "state", "calls/s", "errors", "p50 / p95", "workers", "free", "waiting", "oldest"];

function makeTable(me) {
  const rows = new Map();
  const body = h("tbody");
  const search = h("input", { type: "search", id: "find", placeholder: "name", input: () => draw(latest) });
  const count = h("span", { class: "count" });
  let latest = null;
  const element = h(
    "section",
    {},
    h("div", { class: "bar" }, h("h3", { id: "backends" }, "Backends ", count), h("label", { for: "find" }, "find"), search),
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-labelledby": "backends" },
      h("table", { class: "backends" }, h("thead", {}, h("tr", {}, COLUMNS.map((one) => h("th", { scope: "col" }, one)))), body),
    ),
  );

  function draw(seen) {
    if (seen === null) return;
    latest = seen;
    const wanted = search.value.trim().toLowerCase();
    const shown = seen.backends.filter((one) => one.name.toLowerCase().includes(wanted)).sort(worstFirst);
    for (const one of shown) {
      if (!rows.has(one.name)) rows.set(one.name, makeRow(one.name, () => backendDialog(latest.backends.find((it) => it.name === one.name), me)));
      rows.get(one.name).draw(one);
    }
    const elements = shown.map((one) => rows.get(one.name).element);
    const there = [...body.children];
    const same = there.length === elements.length && there.every((row, i) => row === elements[i]);
    // A row that has the focus must not jump away from who is about to press it.
    const kept = body.contains(document.activeElement) && there.length === elements.length && !wanted;
    if (!same && !kept) fill(body, elements);
    write(count, shown.length === seen.backends.length ? String(shown.length) : `${shown.length} of ${seen.backends.length}`);
  }
  return { element, draw };
}

function makeRow(backend, open) {
  const cells = Object.fromEntries(COLUMNS.slice(1).map((one) => [one, h("td")]));
  const calls = bars("Calls in five minutes");
  const took = lines("Time of calls in five minutes, p50 and p95", 2);
  const rate = h("span", { class: "value" });
  const times = h("span", { class: "value" });
  fill(cells["calls/s"], rate, calls.element);
  fill(cells["p50 / p95"], times, took.element);
  const button = h("button", { type: "button", class: "link", "aria-haspopup": "dialog", click: open }, name(backend, 40));
  const element = h("tr", {}, h("th", { scope: "row" }, button), Object.values(cells));
  return {
    element,
    draw(one) {
      const { lane, chart } = one;
      const states = stateOf(one);
      const said = states.map((state) => state.text).join(", ");
      if (cells.state.dataset.said !== said) {
        cells.state.dataset.said = said;
        fill(cells.state, states.map((state) => h("span", { class: `mark ${state.kind}` }, state.text)));
      }
      write(rate, perSecond(chart.per_s) + (one.rate === null ? "" : ` of ${perSecond(one.rate)}`));
      calls.draw(chart.counts, chart.wrong, `${perSecond(chart.per_s)} a second`);
      write(cells.errors, share(chart.error_share));
      cells.errors.classList.toggle("bad", chart.error_share > 0.05);
      write(times, `${duration(chart.p50_ms)} / ${duration(chart.p95_ms)}`);
      took.draw([chart.p50s_ms, chart.p95s_ms], `${duration(chart.p50_ms)} and ${duration(chart.p95_ms)}`);
      write(cells.workers, lane === null ? "–" : String(lane.workers) + (lane.polled_by_arq ? " + arq" : ""));
      write(cells.free, lane === null ? "–" : String(lane.free_slots));
      write(cells.waiting, lane === null ? "–" : String(lane.waiting));
      write(cells.oldest, lane?.oldest_s == null ? "–" : span(lane.oldest_s));
    },
  };
}

/** Return what is to be known of a backend first. */
export function stateOf(one) {
  const { lane, gates, health } = one;
  const states = [];
  if (gates?.held_s) states.push({ text: `held ${coarse(gates.held_s)}`, kind: "warn" });
  if (gates?.paused_s) states.push({ text: `paused ${coarse(gates.paused_s)}`, kind: "warn" });
  if (gates?.breaker === "open") states.push({ text: "breaker open", kind: "bad" });
  if (gates?.breaker === "half_open") states.push({ text: "breaker half open", kind: "warn" });
  if (lane?.workers_differ) states.push({ text: `${lane.workers_differ} of ${lane.workers} workers differ`, kind: "warn" });
  if (health === "no worker") states.push({ text: "no worker", kind: "bad" });
  if (health === "backlog") states.push({ text: "backlog", kind: "bad" });
  const wrong = lately(one.chart.wrong) / Math.max(1, lately(one.chart.counts));
  if (wrong > 0.1) states.push({ text: wrong > 0.5 ? "failing" : "errors", kind: wrong > 0.5 ? "bad" : "warn" });
  if (!states.length && health === "unused" && lately(one.chart.counts)) states.push({ text: "asked by Python", kind: "good" });
  if (!states.length) states.push({ text: health, kind: health === "ok" ? "good" : "" });
  return states;
}

/** Return the sum of the last minute of a chart. */
const lately = (values) => values.slice(-6).reduce((sum, value) => sum + value, 0);

const coarse = (seconds) => (seconds > 90 ? `${Math.round(seconds / 60)} min` : `${Math.ceil(seconds / 5) * 5} s`);

const RANK = { bad: 0, warn: 1, good: 2, "": 3 };

function worstFirst(a, b) {
  const rank = (one) => Math.min(...stateOf(one).map((state) => RANK[state.kind]));
  return rank(a) - rank(b) || a.name.localeCompare(b.name);
}
