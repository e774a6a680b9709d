"use strict";
// Ask every two seconds whether something was accepted, and then fetch the list anew.
(() => {
  const main = document.querySelector("main");
  let known = Number(main.dataset.total);
  const state = document.querySelector("#live");
  const look = async () => {
    if (document.hidden) return;
    const counts = await (await fetch("/sandbox/counts")).json();
    state.textContent = "live";
    if (counts.accepted === known) return;
    known = counts.accepted;
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    // A message that somebody chose and reads stays where it is.
    const parts = main.dataset.chosen ? ["#list", "#total"] : ["#list", "#total", "#message"];
    for (const part of parts) document.querySelector(part).replaceWith(fresh.querySelector(part));
  };
  const again = () => look().catch(() => { state.textContent = "not reachable"; });
  state.hidden = false;
  setInterval(again, 2000);
  document.addEventListener("visibilitychange", again);
})();
