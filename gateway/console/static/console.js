// The page: who is here, which view is shown, and what is said when the gateway goes.

import { announce, fill, h } from "./elements.js";
import { gateway, read, send } from "./server.js";
import * as overview from "./overview.js";

const VIEWS = {
  "": { title: "Overview", load: async () => overview },
  callbacks: { title: "Callbacks", load: () => import("./callbacks.js") },
  session: { title: "Session", load: () => import("./session.js") },
  try: { title: "Try", load: () => import("./try.js") },
  configuration: { title: "Configuration", load: () => import("./configuration.js") },
};

const main = document.getElementById("main");
const lost = document.getElementById("lost");
let me = null;
let leave = () => {};
let turn = 0;

/** Show the view that the address names: `#/view/part/part`. */
async function show() {
  const mine = ++turn;
  const [place, ...parts] = location.hash.replace(/^#\/?/, "").split("/").map(decoded);
  const view = VIEWS[place] ?? VIEWS[""];
  leave();
  leave = () => {};
  if (me === null) return login();
  document.title = `${view.title} – deskgate`;
  for (const link of document.querySelectorAll("#views a")) {
    const here = link.hash === `#/${place in VIEWS ? place : ""}`;
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [module] = await Promise.all([view.load(), place === "" ? null : refresh()]);
  if (mine !== turn || me === null) return;
  fill(main);
  leave = module.show(main, parts, me) ?? (() => {});
}

/** Hear anew who is here, and which lookups there are: the configuration may have been reloaded. */
async function refresh() {
  try {
    me = await read("me");
  } catch (error) {
    if (error.status !== 401) sayLost(error.message);
  }
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function enter() {
  try {
    me = await read("me");
  } catch (error) {
    me = null;
    if (error.status !== 401) sayLost(error.message);
  }
  const act = me?.right === "act";
  document.getElementById("views").hidden = me === null;
  document.getElementById("logout").hidden = !me?.tokens;
  fill(document.getElementById("who"), me === null ? "" : act ? "may act" : "may look");
  await show();
}

function login() {
  document.title = "Log in – deskgate";
  const token = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const failed = h("p", { class: "failed", role: "alert" });
  const form = h(
    "form",
    {
      class: "login",
      submit: async (event) => {
        event.preventDefault();
        try {
          await send("login", { token: token.value });
          await enter();
        } catch (error) {
          fill(failed, error.message);
          token.select();
        }
      },
    },
    h("h2", {}, "Log in"),
    h("input", { type: "text", autocomplete: "username", value: "deskgate", hidden: true }), // for managers of passwords
    h("label", { for: "token" }, "A token of gateway.admin_token"),
    token,
    h("button", {}, "Log in"),
    failed,
  );
  fill(main, form);
  token.focus();
}

function sayLost(text) {
  lost.textContent = text;
  lost.hidden = false;
}

document.getElementById("logout").addEventListener("click", async () => {
  try {
    await send("logout");
  } catch (error) {
    announce(error.message, { bad: true });
  }
  await enter();
});
document.getElementById("skip").addEventListener("click", () => main.focus());
gateway.addEventListener("login", () => {
  if (me !== null) enter();
});
gateway.addEventListener("lost", (event) => sayLost(event.detail));
gateway.addEventListener("found", () => {
  lost.hidden = true;
});
window.addEventListener("hashchange", async () => {
  await show();
  main.focus({ preventScroll: true });
  window.scrollTo(0, 0);
});
await enter();
