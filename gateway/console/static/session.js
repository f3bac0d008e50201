// Why each variable of a session had its value.

import { announce, clock, codeMark, confirmed, duration, encoded, fill, h, name, plain, sourceMark, span } from "./elements.js";
import { send } from "./server.js";

export function show(main, [session = "", app = "", trace = ""], me) {
  const wanted = h("input", { type: "search", id: "session", value: session, required: true, autocomplete: "off" });
  const found = h("div", { class: "story" });
  const forget = h("button", { type: "button", class: "danger", click: () => forgetSession(session, app, load) }, "Forget this session");
  fill(
    main,
    h("h2", {}, "Session"),
    h(
      "form",
      {
        class: "filters",
        submit: (event) => {
          event.preventDefault();
          const hash = `#/session/${encoded(wanted.value)}`;
          if (location.hash === hash) load();
          else location.hash = hash;
        },
      },
      h("div", { class: "field wide" }, h("label", { for: "session" }, "SystemSessionID"), wanted),
      h("button", {}, "Explain"),
      session && me.right === "act" && forget,
    ),
    found,
  );

  async function load() {
    if (!session) return;
    try {
      const { callbacks } = await send("session", about(session, app));
      fill(found, callbacks.length ? callbacks.map((one) => callback(one, one.trace_id === trace, me)) : h("p", { class: "hint" }, nothing(me)));
      main.dataset.drawn = "true";
      document.getElementById(`trace-${trace}`)?.scrollIntoView({ block: "start" });
    } catch (error) {
      fill(found, h("p", { class: "failed", role: "alert" }, error.message));
    }
  }
  load();
  if (!session) wanted.focus();
}

const about = (session, app) => ({ session, app: /^\d+$/.test(app) ? Number(app) : null });

function nothing(me) {
  if (me.history === "off") return 'Nothing is kept of any session: history.level is "off".';
  return "Nothing is kept of this session: it had no callback for a while, or was forgotten.";
}

async function forgetSession(session, app, done) {
  if (!(await confirmed(`Erase all that is kept of the session ${plain(session, 80)}: its records, and its history?`, "Forget it"))) return;
  try {
    announce((await send("actions/forget", about(session, app))).done);
    done();
  } catch (error) {
    announce(error.message, { bad: true });
  }
}

function callback(one, open, me) {
  const lookups = Object.entries(one.lookups);
  return h(
    "article",
    { class: open ? "callback chosen" : "callback", id: `trace-${one.trace_id}` },
    h(
      "header",
      {},
      h("h3", {}, h("time", { datetime: new Date(one.at * 1000).toISOString() }, clock(one.at, { day: true })), " ", codeMark(one.code_name)),
      h("p", {}, "route ", name(one.route), ", ", duration(one.took_ms), one.budget_ms > 0 && ` of ${duration(one.budget_ms)}`, h("span", { class: "dim" }, ` trace ${one.trace_id}`)),
      one.info && lookups.length === 0 && h("p", {}, plain(one.info, 500)),
      one.inputs && h("details", {}, h("summary", {}, "asked with"), values(one.inputs)),
    ),
    lookups.map(([lookup, part]) => lookupPart(lookup, part, one, me)),
  );
}

function values(given) {
  return h("dl", { class: "facts" }, Object.entries(given).map(([key, value]) => [h("dt", {}, name(key)), h("dd", {}, h("bdi", {}, plain(value, 1000)))]));
}

function lookupPart(lookup, part, one, me) {
  const age = part.age_ms != null && part.source !== "live" ? ` ${span(part.age_ms / 1000)} old` : "";
  const set = Object.fromEntries((part.sets ?? []).map((key) => [key, one.variables ? (one.variables[key] ?? "for other lookups alone") : "•••"]));
  const inputs = part.asked?.inputs;
  return h(
    "section",
    { class: "lookup" },
    h("h4", {}, name(lookup), " ", sourceMark(part.source), age, part.code ? [" ", codeMark(part.code_name)] : null),
    Object.keys(set).length > 0 && values(set),
    part.rungs.length > 0 && h("ol", { class: "rungs" }, part.rungs.map((rung) => h("li", {}, plain(rung, 500)))),
    part.asked && asked(part),
    lookup in me.lookups && h("p", {}, h("a", { href: `#/try/${encoded(lookup)}${inputs ? `/${encoded(JSON.stringify(inputs))}` : ""}` }, "Try it")),
  );
}

function asked(part) {
  const { asked: question } = part;
  const attempts = question.attempts ?? [];
  const of = `${attempts.length} attempt${attempts.length === 1 ? "" : "s"} at `;
  const records = part.source === "fresh" || part.source === "revalidating";
  return h(
    "div",
    { class: "asked" },
    h("p", {}, records ? "was answered by " : "asked: ", of, name(question.backend), ` in ${duration(question.backend_ms)}`, records ? "" : `, after ${duration(question.queue_ms)} in the lane`, part.joined && h("span", { class: "dim" }, ` (begun for trace ${question.trace_id})`)),
    timeline(question, attempts),
    attempts.length > 0 &&
      h(
        "ol",
        { class: "attempts" },
        attempts.map((attempt) =>
          h(
            "li",
            {},
            attempt.backend ? ["at ", name(attempt.backend), ": "] : null,
            codeMark(attempt.outcome),
            ` ${duration(attempt.took_ms)}`,
            attempt.status ? `, status ${attempt.status}, ${attempt.size ?? 0} bytes` : "",
            attempt.reason ? `: ${plain(attempt.reason, 200)}` : "",
            attempt.body ? h("details", {}, h("summary", {}, "what the backend said"), h("pre", { tabindex: "0" }, plain(attempt.body, 8192) + (attempt.cut ? "…" : ""))) : null,
          ),
        ),
      ),
    question.unmapped?.length ? h("p", { class: "bad" }, `the expressions of ${plain(question.unmapped.join(", "), 300)} failed on the reply`) : null,
    question.found === false && h("p", {}, "there is no such thing: the variables of not_found"),
    part.late_ms != null && h("p", {}, `the answer came ${duration(part.late_ms)} after the reply, and was kept`),
  );
}

/** Where the time went: in the lane, in attempts, in the pauses between them. */
function timeline(question, attempts) {
  const total = question.queue_ms + question.backend_ms;
  if (!(total > 0)) return null;
  const spent = attempts.reduce((sum, attempt) => sum + attempt.took_ms, 0);
  const pause = Math.max(0, question.backend_ms - spent) / Math.max(1, attempts.length - 1);
  const pieces = [["queue", question.queue_ms]];
  attempts.forEach((attempt, i) => {
    if (i) pieces.push(["pause", pause]);
    pieces.push([attempt.outcome === "OK" ? "attempt" : "attempt failed", attempt.took_ms]);
  });
  const said = pieces.map(([kind, ms]) => `${kind} ${duration(ms)}`).join(", ");
  const bar = h("div", { class: "timeline", role: "img", "aria-label": said, title: said });
  for (const [kind, ms] of pieces) {
    const piece = h("span", { class: `piece ${kind}` });
    piece.style.flexGrow = String(ms / total);
    bar.append(piece);
  }
  return bar;
}
