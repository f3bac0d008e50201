// What the page asks the gateway for, and what it hears from it.

/** An answer that is none: `status` is that of HTTP, 0 if the gateway was not reached. */
export class Failed extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Dispatches `login` when the gateway wants one, `lost` and `found` as it goes and comes. */
export const gateway = new EventTarget();

export const read = (path, query = {}) => ask("GET", withQuery(path, query));

export const send = (path, body = {}) => ask("POST", path, body);

async function ask(method, path, body) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new Failed(0, "The gateway does not answer.");
  }
  let value;
  try {
    value = await response.json();
  } catch {
    value = { error: `the gateway answered ${response.status}, and no JSON` };
  }
  if (!response.ok) {
    if (response.status === 401) gateway.dispatchEvent(new Event("login"));
    throw new Failed(response.status, value.error ?? response.statusText);
  }
  return value;
}

function withQuery(path, query) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== undefined);
  return given.length ? `${path}?${new URLSearchParams(given)}` : path;
}

const SHORTEST_PAUSE = 500;
const LONGEST_PAUSE = 8000;

/**
 * Call `heard` with the data of each event of this name, until the function that is returned is called.
 * While nobody sees the page, nothing is asked for. When the gateway goes, it is tried again.
 */
export function listen(path, query, name, heard) {
  let source = null;
  let timer = 0;
  let pause = SHORTEST_PAUSE;

  function open() {
    close();
    if (document.hidden) return;
    source = new EventSource(`api/${withQuery(path, query)}`);
    source.addEventListener(name, (event) => {
      pause = SHORTEST_PAUSE;
      gateway.dispatchEvent(new Event("found"));
      heard(JSON.parse(event.data));
    });
    source.addEventListener("error", () => {
      close();
      explain();
      timer = setTimeout(open, pause);
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    });
  }

  // An EventSource does not say why it failed.
  async function explain() {
    try {
      await read("me");
      gateway.dispatchEvent(new CustomEvent("lost", { detail: "The gateway ended the stream. It is opened again." }));
    } catch (error) {
      if (error.status !== 401) gateway.dispatchEvent(new CustomEvent("lost", { detail: error.message }));
    }
  }

  function close() {
    clearTimeout(timer);
    source?.close();
    source = null;
  }

  document.addEventListener("visibilitychange", open);
  open();
  return () => {
    document.removeEventListener("visibilitychange", open);
    close();
  };
}
