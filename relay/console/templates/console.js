"use strict";
// Fetch the page anew every ten seconds and put its main part in place.
(() => {
  const state = document.querySelector("#live");
  const look = async () => {
    if (document.hidden || !getSelection().isCollapsed) return;
    const answer = await fetch(location.href);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html").querySelector("main");
    const main = document.querySelector("main");
    const held = [...main.querySelectorAll(".wide")].map((one) => one.scrollLeft);
    main.replaceWith(fresh);
    fresh.querySelectorAll(".wide").forEach((one, number) => { one.scrollLeft = held[number] || 0; });
    state.textContent = "live";
  };
  state.hidden = false;
  setInterval(() => look().catch(() => { state.textContent = "not reachable"; }), 10000);
})();
