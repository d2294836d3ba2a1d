// Keeps a page up to date by server-sent events. Without it, a page is as it was when it was loaded.
"use strict";
(() => {
  const live = document.getElementById("live");
  const address = live && live.dataset.events;
  if (!address) return;
  const verdict = document.getElementById("verdict");
  const clock = document.getElementById("clock");
  const button = document.getElementById("pause");
  const title = document.title;
  const patience = 15000; // milliseconds; the board says something every five seconds
  let source = null;
  let timer = 0;
  let paused = false;

  const say = (words, stale) => {
    if (verdict.textContent !== words) verdict.textContent = words; // else it would be read out again
    document.documentElement.classList.toggle("stale", stale);
    document.title = stale ? `${live.dataset.stale} – ${title}` : title;
  };

  const watch = () => {
    clearTimeout(timer);
    timer = setTimeout(() => say(live.dataset.lost, true), patience);
  };

  const show = (html) => {
    const focused = live.contains(document.activeElement) ? document.activeElement.id : "";
    const open = [...live.querySelectorAll("details[open]")].map((one) => one.id);
    const scrolled = [...live.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    live.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    live.querySelectorAll(".scroll").forEach((one, at) => (one.scrollLeft = scrolled[at] ?? 0));
    if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
  };

  const stop = () => {
    clearTimeout(timer);
    source?.close();
    source = null;
  };

  const start = () => {
    if (source || paused || document.hidden) return;
    source = new EventSource(address);
    watch();
    source.addEventListener("page", (event) => show(event.data));
    source.addEventListener("status", (event) => {
      const status = JSON.parse(event.data);
      clock.textContent = status.clock;
      say(status.verdict, status.stale);
      watch();
    });
    source.addEventListener("end", () => {
      stop();
      button.hidden = true;
    });
    source.addEventListener("error", () => {
      say(live.dataset.lost, true);
      if (source?.readyState !== EventSource.CLOSED) return;
      stop(); // refused, and the browser does not try again
      timer = setTimeout(start, patience);
    });
  };

  const words = button.textContent;
  button.hidden = false;
  button.addEventListener("click", () => {
    paused = !paused;
    button.setAttribute("aria-pressed", String(paused));
    if (paused) {
      stop();
      say(live.dataset.paused, true);
    } else {
      start();
    }
  });
  document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));
  start();
})();
