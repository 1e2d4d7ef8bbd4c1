// The server's JSON: one line when it refuses, again when it is busy, the token when it asks for one.
import { element, plain } from "./dom.js";

const TOKEN = "level4 token";
const TRIES = 6;
const SECONDS = 60;  // that a request may take

const SAID = {  // where the server, or what stands before it, says nothing itself
  400: "The server could not read this.",
  403: "The server does not answer pages of this address.",
  404: "The server does not know this.",
  408: "The connection is too slow for what was sent.",
  413: "This is more than the server takes.",
  415: "The server does not take this type of data.",
  422: "The model cannot read this row.",
  429: "The server is busy.",
  503: "The server is not ready, or is stopping.",
};

class Refused extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

// path -> JSON. `body`: sent by POST, as JSON; a file as it is. `method`: another one. `waiting(text)`: told while it
// tries again. `tries`: 1 for no second one.
export async function call(path, options) {
  return (await answered(path, options)).json();
}

// What a path gives becomes a file of the user's.
export async function download(path, name) {
  const url = URL.createObjectURL(await (await answered(path)).blob());
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000 * SECONDS);
}

async function answered(path, { body, method, waiting = () => {}, tries = TRIES } = {}) {
  for (let tried = 1; ; tried++) {
    const known = sessionStorage.getItem(TOKEN);
    const response = await ask(path, body, known, method);
    if (response.ok) {
      waiting("");
      return response;
    }
    const text = await response.json().then((said) => said.error ?? said.detail, () => "");
    const line = typeof text === "string" && text ? text : SAID[response.status] ?? `The server answered ${response.status}.`;
    if (response.status === 401) {
      const newer = sessionStorage.getItem(TOKEN) !== known;  // given while this request was on its way
      if (!newer && !(await token(Boolean(known)))) throw new Refused(401, "The server answers only with its token.");
    } else if ([429, 503].includes(response.status) && tried < tries) {
      const after = Number(response.headers.get("Retry-After")) || 2 ** tried / 2;
      await pause(Math.min(after, 30), (left) => waiting(`${sentence(line)} Trying again in ${left} s.`));
      waiting("Asking again ...");
    } else {
      waiting("");
      throw new Refused(response.status, sentence(line));
    }
  }
}

async function ask(path, body, known, method = body === undefined ? "GET" : "POST") {
  const headers = { accept: "application/json" };
  if (known) headers.authorization = `Bearer ${known}`;
  const file = body instanceof Blob;
  if (body !== undefined) headers["content-type"] = file ? "application/octet-stream" : "application/json";
  const sent = file ? body : JSON.stringify(body);
  try {
    return await fetch(path, {
      method,
      headers,
      body: sent,
      cache: "no-store",
      signal: AbortSignal.timeout(1000 * SECONDS),
    });
  } catch (error) {
    if (error.name === "TimeoutError") throw new Refused(0, `No answer within ${SECONDS} s.`);
    const bytes = sent?.length ?? sent?.size;  // a server that refuses a long body need not wait for its end
    throw new Refused(0, bytes > 1e6 ? `The connection broke while ${plain(Math.round(bytes / 1e6))} MB were sent: more than the server takes?`
      : "The server cannot be reached. Is it running?");
  }
}

const sentence = (line) => line[0].toUpperCase() + line.slice(1) + (/[.!?]$/.test(line) ? "" : ".");

async function pause(seconds, tell) {
  for (let left = Math.ceil(seconds); left > 0; left--) {
    tell(left);
    await new Promise((resolve) => setTimeout(resolve, 1000 * Math.min(1, seconds)));
  }
}

let asking = null;  // one dialog, however many requests wait for it

function token(again) {
  asking ??= new Promise((resolve) => {
    const input = element("input", { type: "password", id: "token", autocomplete: "off", required: true });
    const dialog = element("dialog", { "aria-label": "Token" },
      element("form", { method: "dialog" },
        element("label", { for: "token" }, again ? "That was not the token. Token of this server" : "Token of this server"),
        input,
        element("p", { class: "note" }, "Kept in this tab until it is closed."),
        element("button", { type: "submit", value: "ok" }, "Go on"), " ",
        element("button", { type: "submit", value: "", formnovalidate: true, class: "plain" }, "Cancel")));
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "ok" ? input.value.trim() : "";
      if (given) sessionStorage.setItem(TOKEN, given);
      dialog.remove();
      asking = null;
      resolve(Boolean(given));
    });
    document.body.append(dialog);
    dialog.showModal();
  });
  return asking;
}
