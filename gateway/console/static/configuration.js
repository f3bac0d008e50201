// The configuration as it runs, without secrets.

import { announce, clock, fill, h, plain, span } from "./elements.js";
import { read, send } from "./server.js";

export function show(main, _, me) {
  const found = h("div");
  const search = h("input", { type: "search", id: "find", placeholder: "backends.crm", input: choose });
  let sections = [];

  async function load() {
    let shown;
    try {
      shown = await read("configuration");
    } catch (error) {
      fill(found, h("p", { class: "failed", role: "alert" }, error.message));
      return;
    }
    sections = [...tables("", shown.tables)].map(([path, lines]) => ({ path: path.toLowerCase(), element: section(path, lines) }));
    fill(
      found,
      h(
        "dl",
        { class: "facts" },
        [["file", plain(shown.file)], ["digest", shown.digest], ["in use since", `${clock(shown.since, { day: true })}, for ${span(Math.max(0, Date.now() / 1000 - shown.since))}`]].map(([label, value]) => [h("dt", {}, label), h("dd", {}, value)]),
      ),
      shown.refused.length > 0 && h("div", { class: "failed" }, h("p", {}, "A newer content of the file is not used:"), h("ul", {}, shown.refused.map((fault) => h("li", {}, plain(fault, 1000))))),
      shown.warnings.length > 0 && h("details", { open: true }, h("summary", {}, `${shown.warnings.length} warning${shown.warnings.length === 1 ? "" : "s"}`), h("ul", {}, shown.warnings.map((one) => h("li", {}, plain(one, 1000))))),
      h("div", { class: "bar" }, h("label", { for: "find" }, "find a table"), search),
      sections.map((one) => one.element),
    );
    choose();
    main.dataset.drawn = "true";
  }

  function choose() {
    const wanted = search.value.trim().toLowerCase();
    for (const one of sections) one.element.hidden = !one.path.includes(wanted);
  }

  const reload = h(
    "button",
    {
      type: "button",
      click: async () => {
        try {
          announce((await send("actions/reload")).done);
          setTimeout(load, 1000);
        } catch (error) {
          announce(error.message, { bad: true });
        }
      },
    },
    "Reload all processes",
  );
  fill(main, h("div", { class: "bar" }, h("h2", {}, "Configuration"), me.right === "act" && reload), found);
  load();
}

/** Yield each table with its lines, as the file has them: `[path]`, then `key = value`. */
function* tables(path, table) {
  const lines = [];
  const inner = [];
  for (const [key, value] of Object.entries(table)) {
    const place = path ? `${path}.${key}` : key;
    const listed = Array.isArray(value) && value.length > 0 && value.every(isTable);
    if (listed) value.forEach((one, i) => inner.push([`${place}[${i}]`, one]));
    else if (isTable(value)) inner.push([place, value]);
    else lines.push(`${plain(key)} = ${plain(JSON.stringify(value))}`);
  }
  if (lines.length) yield [path, lines];
  for (const [place, one] of inner) yield* tables(place, one);
}

const isTable = (value) => value !== null && typeof value === "object" && !Array.isArray(value);

function section(path, lines) {
  return h("section", { class: "table" }, h("h3", {}, `[${plain(path, 200)}]`), h("pre", { tabindex: "0" }, lines.join("\n")));
}
