// One backend: its figures in words, and what may be done about it.

import { announce, duration, encoded, h, name, perSecond, plain, share, span } from "./elements.js";
import { send } from "./server.js";

const HOLDS = [["1 minute", 60], ["10 minutes", 600], ["30 minutes", 1800], ["1 hour", 3600]];

export function backendDialog(one, me) {
  const { chart, lane, gates } = one;
  const facts = [
    ["kind", one.kind],
    ["calls", `${perSecond(chart.per_s)} a second in five minutes${one.rate === null ? "" : `, ${perSecond(one.rate)} allowed`}`],
    ["errors", share(chart.error_share)],
    ["p50 / p95", `${duration(chart.p50_ms)} / ${duration(chart.p95_ms)}`],
  ];
  if (gates !== null) {
    facts.push(["breaker", (gates.breaker ?? "off").replace("_", " ")]);
    if (gates.paused_s) facts.push(["paused", `${span(gates.paused_s)} more, as the backend asked`]);
    if (gates.held_s) facts.push(["held", `${span(gates.held_s)} more, by an operator`]);
  }
  if (lane !== null) {
    facts.push(
      ["lane", `${lane.waiting} waiting, ${lane.claimed} claimed, ${lane.refreshes} refreshes`],
      ["workers", `${lane.workers}, ${lane.free_slots} slots free`],
      ["a job takes", lane.job_s === null ? "–" : duration(lane.job_s * 1000)],
    );
  }
  const outcomes = Object.entries(chart.outcomes).sort((a, b) => b[1] - a[1]);
  const dialog = h(
    "dialog",
    { class: "backend", "aria-labelledby": "of-backend", close: () => dialog.remove() },
    h("h2", { id: "of-backend" }, name(one.name)),
    h("dl", { class: "facts" }, facts.map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)])),
    outcomes.length > 0 && [h("h3", {}, "How calls ended"), h("dl", { class: "facts" }, outcomes.map(([code, count]) => [h("dt", {}, code), h("dd", {}, count.toLocaleString("en"))]))],
    one.lookups.length > 0 && [h("h3", {}, "Lookups"), h("p", {}, one.lookups.map((lookup) => [h("a", { href: `#/callbacks/lookup/${encoded(lookup)}`, click: () => dialog.close() }, plain(lookup, 60)), " "]))],
    gates !== null && actions(one, me, () => dialog.close()),
    h("div", { class: "buttons" }, h("button", { type: "button", click: () => dialog.close() }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}

function actions(one, me, done) {
  if (me.right !== "act") return h("p", { class: "hint" }, me.tokens ? "Your token is for looking alone." : "To act, declare a token in gateway.admin_token.act.");
  const act = (action, more = {}) => async () => {
    try {
      announce((await send(`actions/${action}`, { backend: one.name, ...more })).done);
      done();
    } catch (error) {
      announce(error.message, { bad: true });
    }
  };
  const seconds = h("select", { id: "hold-for" }, HOLDS.map(([label, value]) => h("option", { value, selected: value === 600 }, label)));
  const { gates } = one;
  return h(
    "fieldset",
    {},
    h("legend", {}, "Act, for the whole fleet"),
    h("div", { class: "buttons" }, h("label", { for: "hold-for" }, "Serve last known answers for"), seconds, h("button", { type: "button", class: "danger", click: () => act("hold", { seconds: Number(seconds.value) })() }, "Hold"), gates.held_s > 0 && h("button", { type: "button", click: act("release") }, "Release")),
    gates.breaker !== null && h("div", { class: "buttons" }, gates.breaker === "closed" ? h("button", { type: "button", class: "danger", click: act("open-breaker") }, "Open the breaker") : h("button", { type: "button", click: act("close-breaker") }, "Close the breaker")),
  );
}
