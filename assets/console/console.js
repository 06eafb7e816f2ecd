// What pages do beyond what they are without it: they stay up to date, explain in place, and show invalidations as they happen.
"use strict";
(() => {
  const EVERY = 5000;
  const MOST_ROWS = 200;

  const parsed = async (answer) => new DOMParser().parseFromString(await answer.text(), "text/html");

  // Somebody reads with the keyboard there, or is about to confirm something.
  const isUsed = (region) => region.contains(document.activeElement) || region.querySelector("details.confirm[open]");
  const isClosed = (details) => !details.open;

  const replace = (region, fresh) => {
    const closed = [...region.querySelectorAll("details.section")].map(isClosed);
    fresh.querySelectorAll("details.section").forEach((details, at) => { details.open = !closed[at]; });
    const left = [...region.querySelectorAll(".scroll")].map((box) => box.scrollLeft);
    region.replaceWith(fresh);
    fresh.querySelectorAll(".scroll").forEach((box, at) => { box.scrollLeft = left[at] || 0; });
  };

  // What is shown may be old: the next answer puts the status right.
  const tell = (kind, word) => {
    const status = document.querySelector("#status .badge");
    if (status) { status.className = "badge " + kind; status.textContent = word; }
  };

  const refresh = async () => {
    const regions = document.querySelectorAll("[data-live]");
    if (document.hidden || regions.length === 0) return;
    try {
      const answer = await fetch(location.href);
      if (answer.redirected) return location.reload();
      if (!answer.ok) return tell("warn", "not up to date");
      const page = await parsed(answer);
      for (const region of regions) {
        const fresh = page.getElementById(region.id);
        if (fresh && !isUsed(region)) replace(region, document.adoptNode(fresh));
      }
    } catch {
      tell("bad", "no answer");
    }
  };
  setInterval(refresh, EVERY);

  // The form stays as it is, with what was typed; only what comes of it is shown.
  document.addEventListener("submit", async (event) => {
    const form = event.target;
    if (!form.dataset.swap) return;
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    button.disabled = true;
    try {
      const answer = await fetch(form.action, { method: "POST", body: new URLSearchParams(new FormData(form)) });
      if (answer.redirected) return location.reload();
      const page = await parsed(answer);
      const shown = document.getElementById(form.dataset.swap);
      const fresh = page.getElementById(form.dataset.swap) || page.getElementById("main");
      shown.replaceChildren(...[...fresh.childNodes].map((node) => document.adoptNode(node)));
    } catch {
      document.getElementById(form.dataset.swap).textContent = "decache does not answer. Try again.";
    } finally {
      button.disabled = false;
    }
  });

  const stream = document.querySelector("[data-stream]");
  if (stream) {
    const say = (kind, word) => { stream.className = "badge " + kind; stream.textContent = word; };
    const rows = document.querySelector("tbody");
    const show = (told) => {
      const row = document.getElementById("event").content.cloneNode(true);
      const [time, does, about, removed, absent, holders] = row.querySelectorAll("td");
      time.firstElementChild.dateTime = told.finished_at;
      time.firstElementChild.textContent = told.finished_at.replace("T", " ").replace(/(\.\d+)?Z$/, " UTC");
      does.textContent = told.job_type + (told.recheck ? ", again" : "");
      const link = about.firstElementChild;
      const of = (name) => encodeURIComponent(told[name]);
      const name = document.createElement(told.holder ? "code" : "b");
      name.textContent = told.holder || told.entity_id;
      link.append(told.holder ? "" : told.resource_type + " ", name);
      link.href = told.holder
        ? "/console/holder?holder=" + of("holder")
        : "/console/entity?resource_type=" + of("resource_type") + "&entity_id=" + of("entity_id");
      removed.textContent = told.deleted;
      absent.textContent = told.absent;
      holders.textContent = (told.holders || []).length + (told.more_holders ? " and more" : "");
      rows.prepend(row);
      while (rows.children.length > MOST_ROWS) rows.lastElementChild.remove();
      document.getElementById("none").hidden = true;
    };
    const source = new EventSource(stream.dataset.stream);
    source.onopen = () => say("ok", "live");
    source.onerror = () => (source.readyState === EventSource.CLOSED ? say("bad", "ended: reload to sign in again") : say("warn", "connecting again"));
    source.addEventListener("invalidation", (event) => show(JSON.parse(event.data)));
    source.addEventListener("gap", () => say("warn", "some were missed"));
  }
})();
