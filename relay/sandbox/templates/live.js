"use strict";
// Ask every two seconds whether something was accepted, and then fetch the list anew. And keys.
(() => {
  const main = document.querySelector("main");
  let known = Number(main.dataset.total);
  const state = document.querySelector("#live");
  const show = () => document.querySelector("#list [aria-current]")?.scrollIntoView({ block: "nearest" });
  const look = async () => {
    if (document.hidden) return;
    const counts = await (await fetch("/sandbox/counts")).json();
    state.textContent = state.dataset.said;
    if (counts.accepted === known) return;
    known = counts.accepted;
    const text = await (await fetch(location.href)).text();
    const fresh = new DOMParser().parseFromString(text, "text/html");
    // A message that somebody chose and reads stays where it is; nor does the list lose its place, or the focus.
    const list = document.querySelector("#list");
    const place = list.scrollTop, focused = list.contains(document.activeElement) && document.activeElement.getAttribute("href");
    const parts = main.dataset.chosen ? ["#list", "#total"] : ["#list", "#total", "#message"];
    for (const part of parts) document.querySelector(part).replaceWith(fresh.querySelector(part));
    document.querySelector("#list").scrollTop = main.dataset.chosen ? place : 0;
    if (focused) document.querySelector(`#list [href="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
  };
  const go = (step) => {
    const rows = [...document.querySelectorAll("#list a")];
    const here = rows.findIndex((row) => row.hasAttribute("aria-current"));
    const there = rows[here + step];
    if (there) location.assign(there.href);
  };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea")) return;
    if (event.key === "j") go(1);
    else if (event.key === "k") go(-1);
    else if (event.key === "/") { event.preventDefault(); document.querySelector(".search input").focus(); }
  });
  const again = () => look().catch(() => { state.textContent = state.dataset.lost; });
  state.dataset.said = state.textContent;
  state.hidden = false;
  show();
  setInterval(again, 2000);
  document.addEventListener("visibilitychange", again);
})();
