// One lookup asked once, and each step of it: the question, the reply, the rule, what each expression gave.

import { codeMark, duration, fill, h, name, plain } from "./elements.js";
import { send } from "./server.js";

export function show(main, [given = "", json = ""], me) {
  const lookups = Object.keys(me.lookups);
  const act = me.right === "act";
  const known = inputsOf(json);
  const lookup = h("select", { id: "lookup", input: askFor }, lookups.map((one) => h("option", { value: one, selected: one === given }, plain(one, 80))));
  const fields = h("div", { class: "fields" });
  const mode = (value, label, { checked = false, disabled = false } = {}) => h("label", { class: "choice" }, h("input", { type: "radio", name: "mode", value, checked, disabled }), label);
  const reply = h("textarea", { id: "reply", rows: "6", spellcheck: "false" });
  const status = h("input", { type: "number", id: "status", min: "200", max: "599", value: "200" });
  const replying = h("div", { class: "fields", hidden: true }, h("div", { class: "field wide" }, h("label", { for: "reply" }, "the backend's reply"), reply), h("div", { class: "field" }, h("label", { for: "status" }, "status"), status));
  const result = h("div", { class: "story", "aria-live": "polite" });
  const button = h("button", {}, "Try");

  function askFor() {
    const reads = me.lookups[lookup.value]?.reads ?? [];
    fill(
      fields,
      reads.map((one, i) => h("div", { class: "field" }, h("label", { for: `input-${i}` }, name(one)), h("input", { id: `input-${i}`, "data-name": one, value: known[one] ?? "", autocomplete: "off" }))),
      reads.length === 0 && h("p", { class: "hint" }, "It reads no variable."),
    );
  }

  const form = h(
    "form",
    {
      class: "trial",
      input: () => {
        replying.hidden = form.elements.mode.value !== "reply";
      },
      submit: async (event) => {
        event.preventDefault();
        button.disabled = true;
        const chosen = form.elements.mode.value;
        const variables = Object.fromEntries([...fields.querySelectorAll("input")].filter((one) => one.value).map((one) => [one.dataset.name, one.value]));
        const question = { lookup: lookup.value, variables, dry_run: chosen === "dry", reply: chosen === "reply" ? reply.value : null, status: Number(status.value) };
        try {
          fill(result, trial(await send("try", question)));
        } catch (error) {
          fill(result, h("p", { class: "failed", role: "alert" }, error.message));
        }
        button.disabled = false;
      },
    },
    h("div", { class: "field" }, h("label", { for: "lookup" }, "lookup"), lookup),
    fields,
    h(
      "fieldset",
      {},
      h("legend", {}, "What to do"),
      mode("ask", act ? "ask the backend" : "ask the backend (needs a token of gateway.admin_token.act)", { checked: act, disabled: !act }),
      mode("dry", "show the question, and send nothing", { checked: !act }),
      mode("reply", "take this reply, and ask nobody"),
    ),
    replying,
    button,
  );
  fill(main, h("h2", {}, "Try a lookup"), h("p", { class: "hint" }, "By the configuration file as it is on the gateway's disk, in a process of its own. Nothing is recorded."), lookups.length ? form : h("p", {}, "The configuration has no lookup."), result);
  askFor();
  main.dataset.drawn = "true";
}

function inputsOf(json) {
  try {
    const given = JSON.parse(json || "{}");
    return given && typeof given === "object" ? given : {};
  } catch {
    return {};
  }
}

function trial(one) {
  const { question, reply } = one;
  return [
    question && [h("h3", {}, "Question"), h("pre", { tabindex: "0" }, [plain(question.line), ...pairs(question.headers, ": "), ...pairs(question.parameters, " = "), question.body && `\n${indented(question.body)}`].filter(Boolean).join("\n"))],
    reply && [
      h("h3", {}, "Reply"),
      h("p", {}, [reply.status, `${reply.size} bytes`, question && duration(one.took_ms)].filter(Boolean).join(", ")),
      h("pre", { tabindex: "0" }, indented(reply.body)),
    ],
    one.rule && h("p", {}, "rule ", h("code", {}, plain(one.rule, 500))),
    Object.keys(one.expressions).length > 0 && [h("h3", {}, "Expressions"), expressions(one.expressions)],
    h("h3", {}, "Result"),
    h("p", {}, question || reply || one.code ? [codeMark(one.code_name), " "] : null, plain(one.reason || verdict(one), 1000)),
    one.notes.map((note) => h("p", { class: "hint" }, plain(note, 1000))),
  ];
}

function verdict(one) {
  if (!one.variables) return one.question ? "nothing was sent" : "";
  if (!one.found) return "there is no such thing: the variables of not_found go out";
  const all = Object.values(one.expressions);
  const empty = all.filter((value) => value.value === null).length;
  return empty ? `${empty} of ${all.length} variables go out empty` : "every variable has a value";
}

function expressions(found) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Expressions" },
    h(
      "table",
      {},
      h("thead", {}, h("tr", {}, ["variable", "expression", "gives"].map((one) => h("th", { scope: "col" }, one)))),
      h(
        "tbody",
        {},
        Object.entries(found).map(([variable, one]) =>
          h("tr", {}, h("th", { scope: "row" }, name(variable)), h("td", {}, h("code", {}, plain(one.expression, 300))), h("td", {}, one.value === null ? [h("span", { class: "mark warn" }, "null"), " ", plain(one.why, 500)] : h("bdi", {}, plain(one.value, 1000)))),
        ),
      ),
    ),
  );
}

const pairs = (given, mark) => Object.entries(given ?? {}).map(([key, value]) => `${plain(key, 200)}${mark}${plain(value, 2000)}`);

function indented(text) {
  try {
    return plain(JSON.stringify(JSON.parse(text), null, 2), 65_536);
  } catch {
    return plain(text, 65_536);
  }
}
