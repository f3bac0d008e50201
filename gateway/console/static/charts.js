// Small charts of five minutes: a line, or bars with the wrong part in another colour.

import { s } from "./elements.js";

const WIDTH = 120;
const HEIGHT = 26;

/** Return a chart whose `draw` takes new values. `label` says what it shows, for those who do not see it. */
export function lines(label, count) {
  const paths = Array.from({ length: count }, (_, i) => s("path", { class: `line line${i}` }));
  const title = s("title");
  const element = s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, title, paths);
  return {
    element,
    draw(rows, said) {
      const most = Math.max(1e-9, ...rows.flat().filter((value) => value !== null));
      rows.forEach((row, i) => set(paths[i], "d", line(row, most)));
      set(element, "aria-label", `${label}: ${said}`);
      if (title.textContent !== said) title.textContent = said;
    },
  };
}

export function bars(label) {
  const all = s("path", { class: "bars" });
  const wrong = s("path", { class: "bars wrong" });
  const title = s("title");
  const element = s("svg", { class: "chart", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": label, preserveAspectRatio: "none" }, title, all, wrong);
  return {
    element,
    draw(counts, bad, said) {
      const most = Math.max(1, ...counts);
      set(all, "d", columns(counts, most));
      set(wrong, "d", columns(bad, most));
      set(element, "aria-label", `${label}: ${said}`);
      if (title.textContent !== said) title.textContent = said;
    },
  };
}

function set(element, attribute, value) {
  if (element.getAttribute(attribute) !== value) element.setAttribute(attribute, value);
}

function columns(values, most) {
  const wide = WIDTH / values.length;
  return values
    .map((value, i) => {
      const high = value ? Math.max(1, (value / most) * HEIGHT) : 0;
      return high ? `M${(i * wide).toFixed(1)} ${HEIGHT}v${(-high).toFixed(1)}h${(wide - 1).toFixed(1)}v${high.toFixed(1)}z` : "";
    })
    .join("");
}

function line(values, most) {
  const wide = WIDTH / Math.max(1, values.length - 1);
  let path = "";
  let drawn = false;
  values.forEach((value, i) => {
    if (value === null) {
      drawn = false;
      return;
    }
    const x = (i * wide).toFixed(1);
    const y = (HEIGHT - 1 - (value / most) * (HEIGHT - 2)).toFixed(1);
    path += drawn ? `L${x} ${y}` : `M${x} ${y}h.6`;
    drawn = true;
  });
  return path;
}
