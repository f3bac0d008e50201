// Elements, and values as people read them. All text goes in as text: nothing is ever parsed as HTML.

const SVG = "http://www.w3.org/2000/svg";

/** Return an element. Attributes that are functions listen to events; null and false leave one out. */
export function h(name, attributes = {}, ...children) {
  return filled(document.createElement(name), attributes, children);
}

/** Return an element of SVG. */
export function s(name, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, name), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Put children in the place of those that are there. */
export function fill(element, ...children) {
  element.replaceChildren(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** Set a text, if it is another one: a browser then has nothing to lay out anew. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// Characters that a screen obeys, or that nobody sees: controls, and those that turn the direction of a text.
const UNSEEN = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff9-\ufffb]/gu;

/** Return a text that a stranger may have chosen, with every character of it to be seen. */
export function plain(text, longest = Infinity) {
  const seen = String(text).replace(UNSEEN, (one) => `\\u${one.codePointAt(0).toString(16).padStart(4, "0")}`);
  return seen.length > longest ? `${seen.slice(0, longest)}…` : seen;
}

/** Return such a text as an element that keeps its direction to itself; it is cut for a table. */
export function name(text, longest = 60) {
  const whole = plain(text);
  return h("bdi", { class: "name", title: whole.length > longest ? plain(text, 1000) : null }, plain(text, longest));
}

/** Return a text as a part of an address; half a surrogate pair cannot be one. */
export const encoded = (text) => encodeURIComponent(String(text).toWellFormed?.() ?? text);

export function duration(ms) {
  if (ms === null || ms === undefined) return "–";
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 1000) return `${Math.round(ms)} ms`;
  return ms < 60_000 ? `${(ms / 1000).toFixed(2)} s` : span(ms / 1000);
}

export function span(seconds) {
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
  return `${Math.floor(seconds / 86_400)} d ${Math.floor((seconds % 86_400) / 3600)} h`;
}

export function perSecond(rate) {
  return rate >= 100 ? Math.round(rate).toLocaleString("en") : rate >= 10 ? rate.toFixed(1) : rate.toFixed(2);
}

export function share(part) {
  if (part === null || part === undefined) return "–";
  if (part === 0) return "0 %";
  return part < 0.001 ? "< 0.1 %" : `${(part * 100).toFixed(part < 0.1 ? 1 : 0)} %`;
}

const two = (number) => String(number).padStart(2, "0");

/** Return a Unix time, in seconds, as a clock of this place shows it. */
export function clock(at, { day = false } = {}) {
  const time = new Date(at * 1000);
  const hours = `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}.${String(time.getMilliseconds()).padStart(3, "0")}`;
  return day ? `${time.getFullYear()}-${two(time.getMonth() + 1)}-${two(time.getDate())} ${hours}` : hours;
}

/** Return the name of a code, marked as good or bad. */
export function codeMark(code) {
  return h("span", { class: code === "OK" ? "mark good" : "mark bad" }, code);
}

const SOURCES = { live: "good", fresh: "good", revalidating: "good", stale: "warn", user: "warn", fallback: "warn", none: "bad" };

export function sourceMark(source) {
  return h("span", { class: `mark ${SOURCES[source] ?? ""}` }, source);
}

let announcing = 0;

/** Say something: it is read out, and shown for a while. */
export function announce(text, { bad = false } = {}) {
  const news = document.getElementById("news");
  clearTimeout(announcing);
  news.textContent = text;
  news.classList.toggle("bad", bad);
  announcing = setTimeout(() => {
    news.textContent = "";
  }, bad ? 12_000 : 6000);
}

/** Ask in a dialog; return true if it is confirmed. */
export function confirmed(question, yes) {
  return new Promise((resolve) => {
    const dialog = h(
      "dialog",
      { "aria-label": question, close: () => (dialog.remove(), resolve(dialog.returnValue === "yes")) },
      h("p", {}, question),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", class: "danger", click: () => dialog.close("yes") }, yes),
        h("button", { type: "button", click: () => dialog.close("no") }, "Cancel"),
      ),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
}
