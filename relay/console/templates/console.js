"use strict";
// Fetch the page anew every few seconds, and put in place what changed of its live parts. Nothing that somebody
// writes in, has focus in, or has marked is touched.
(() => {
  const state = document.querySelector("#live");
  const parts = () => document.querySelectorAll("[data-live]");
  if (!state || !parts().length) return;
  const inUse = (part) => {
    const selection = getSelection();
    return part.contains(document.activeElement) ||
      (!selection.isCollapsed && selection.containsNode(part, true)) || part.querySelector("dialog[open], details[data-opened]");
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
      if (part.innerHTML === next.innerHTML || inUse(part)) continue;
      const open = [...part.querySelectorAll("details[open][id]")].map((one) => one.id);
      part.replaceWith(next);
      for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    }
    if (fresh.title) document.title = fresh.title;
    state.textContent = state.dataset.live;
    state.classList.remove("lost");
  };
  state.dataset.live = state.textContent;
  state.hidden = false;
  const again = () => look().catch(() => { state.textContent = state.dataset.lost; state.classList.add("lost"); });
  setInterval(again, 5000);
  document.addEventListener("visibilitychange", again);
})();
