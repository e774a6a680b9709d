"use strict";
// Fetch the page anew every few seconds, and change what changed of its live parts, where it stands: a screen
// reader keeps its place, and says of a status only what is new. Nothing that somebody writes in, has focus in, or
// has marked is touched.
(() => {
  const state = document.querySelector("#live");
  const parts = () => document.querySelectorAll("[data-live]");
  if (!state || !parts().length) return;
  const inUse = (part) => {
    const selection = getSelection();
    return part.contains(document.activeElement) ||
      (!selection.isCollapsed && selection.containsNode(part, true)) || part.querySelector("dialog[open], details[data-opened]");
  };
  const change = (old, fresh) => {
    if (old.nodeName !== fresh.nodeName || old.id !== fresh.id) { old.replaceWith(fresh); return; }
    if (old.nodeType !== Node.ELEMENT_NODE) { if (old.data !== fresh.data) old.data = fresh.data; return; }
    for (const { name, value } of fresh.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
    // What somebody has opened stays open.
    for (const { name } of [...old.attributes]) if (name !== "open" && !fresh.hasAttribute(name)) old.removeAttribute(name);
    const before = [...old.childNodes], now = [...fresh.childNodes];
    before.slice(now.length).forEach((one) => one.remove());
    now.forEach((one, at) => { if (at < before.length) change(before[at], one); else old.append(one); });
  };
  const look = async () => {
    if (document.hidden) return;
    const answer = await fetch(location.href, { headers: { "x-relay-live": "1" }, redirect: "manual" });
    // Logged out meanwhile: the browser goes where the server sends it.
    if (answer.type === "opaqueredirect") { location.reload(); return; }
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of parts()) {
      const next = fresh.getElementById(part.id);
      if (!next) { if (!inUse(part)) part.remove(); continue; }
      if (!inUse(part)) change(part, next);
    }
    if (fresh.title) document.title = fresh.title;
    state.textContent = state.dataset.said;
    state.classList.remove("lost");
  };
  state.dataset.said = state.textContent;
  state.hidden = false;
  const again = () => look().catch(() => { state.textContent = state.dataset.lost; state.classList.add("lost"); });
  setInterval(again, 5000);
  document.addEventListener("visibilitychange", again);
})();
