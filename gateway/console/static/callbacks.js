// The callbacks of the fleet as they are answered, with filters.

import { clock, codeMark, duration, encoded, fill, h, name, plain, write } from "./elements.js";
import { listen } from "./server.js";

const MOST_ROWS = 200;
const CODES = [
  ...["OK", "TIMEOUT", "BACKEND_UNAVAILABLE", "BACKEND_REJECTED", "BAD_BACKEND_REPLY", "CIRCUIT_OPEN", "OVERLOADED"],
  ...["QUEUE_UNAVAILABLE", "NO_WORKERS", "MISSING_INPUT", "LOOKUP_FAILED", "INVALID_INPUT", "BACKEND_DENIED"],
  ...["BACKEND_THROTTLED", "NO_ROUTE", "INTERNAL"],
];

export function show(main, [what, given], me) {
  const filters = {
    code: h("select", { id: "code" }, h("option", { value: "" }, "any"), CODES.map((one) => h("option", {}, one))),
    lookup: h("select", { id: "lookup" }, h("option", { value: "" }, "any"), Object.keys(me.lookups).map((one) => h("option", { value: one }, plain(one, 60)))),
    session: h("input", { type: "search", id: "of-session", placeholder: "part of a session" }),
    slow: h("input", { type: "number", id: "slow", min: "0", step: "50", placeholder: "ms" }),
    bad: h("input", { type: "checkbox", id: "bad" }),
  };
  if (what in filters && given) filters[what].value = given;
  const body = h("tbody");
  const state = h("p", { class: "state", role: "status" });
  const pausing = h("button", { type: "button", "aria-pressed": "false", click: pause }, "Pause");
  let waiting = [];
  let paused = false;
  let frame = 0;
  let stop = () => {};
  let typed = 0;

  function pause() {
    paused = !paused;
    pausing.setAttribute("aria-pressed", String(paused));
    write(pausing, paused ? "Go on" : "Pause");
    if (!paused) later();
  }

  function reopen() {
    stop();
    waiting = [];
    fill(body);
    write(state, "");
    const query = { code: filters.code.value, lookup: filters.lookup.value, session: filters.session.value.trim(), slow: filters.slow.value, bad: filters.bad.checked ? "1" : "" };
    stop = listen("events/callbacks", query, "callbacks", (found) => {
      waiting.unshift(...found.rows);
      waiting.length = Math.min(waiting.length, MOST_ROWS);
      tell(found);
      if (paused) write(pausing, `Go on (${waiting.length === MOST_ROWS ? `${MOST_ROWS}+` : waiting.length} new)`);
      else later();
    });
  }

  function later() {
    if (!frame) frame = requestAnimationFrame(draw);
  }

  function draw() {
    frame = 0;
    const rows = waiting.map(makeRow);
    waiting = [];
    body.prepend(...rows);
    while (body.rows.length > MOST_ROWS) body.lastChild.remove();
    main.dataset.drawn = "true";
  }

  function tell(found) {
    if (found.error) write(state, `Redis cannot be reached: ${found.error}`);
    else if (me.history === "off") write(state, 'Nothing is kept of callbacks: history.level is "off".');
    else if (found.sessions > found.read) write(state, `A sample: ${found.read} of ${found.sessions} sessions with news were read.`);
    else write(state, "All callbacks of the fleet, as they are answered.");
  }

  const change = () => {
    clearTimeout(typed);
    typed = setTimeout(reopen, 250);
  };
  const field = (label, element) => h("div", { class: "field" }, h("label", { for: element.id }, label), element);
  fill(
    main,
    h("h2", {}, "Callbacks"),
    h(
      "form",
      { class: "filters", submit: (event) => event.preventDefault(), input: change },
      field("code", filters.code),
      field("lookup", filters.lookup),
      field("session", filters.session),
      field("slower than", filters.slow),
      field("only wrong", filters.bad),
      pausing,
    ),
    state,
    h(
      "div",
      { class: "scroll", tabindex: "0", role: "region", "aria-label": "Callbacks" },
      h("table", { class: "callbacks" }, h("thead", {}, h("tr", {}, ["time", "code", "took", "session", "route", "lookups"].map((one) => h("th", { scope: "col" }, one)))), body),
    ),
  );
  reopen();
  return () => {
    stop();
    cancelAnimationFrame(frame);
    clearTimeout(typed);
  };
}

function makeRow(one) {
  return h(
    "tr",
    { class: one.code === "OK" ? null : "wrong" },
    h("td", { class: "time" }, clock(one.at)),
    h("td", {}, codeMark(one.code)),
    h("td", { class: "number" }, duration(one.took_ms)),
    h("td", {}, h("a", { href: `#/session/${encoded(one.session)}/${one.app}/${one.trace_id}` }, name(one.session, 40))),
    h("td", {}, name(one.route, 30)),
    h("td", { class: "lookups" }, Object.entries(one.lookups).map(([lookup, part]) => h("span", { class: "lookup" }, name(lookup, 30), ` ${part.source}`, part.code === "OK" ? "" : ` ${part.code}`))),
  );
}
