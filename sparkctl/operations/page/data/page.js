"use strict";
/* Keeps the page fresh by one stream of events, and posts its forms without leaving it. Text is set as text alone.
   Without this script everything is there, as it was when the page was loaded. */
(() => {
  const body = document.body;
  const SVG = "http://www.w3.org/2000/svg";
  const LINES = 2000; // of a log that are kept on the page
  const link = document.getElementById("link");
  const tell = (text) => { if (link && link.textContent !== text) link.textContent = text; };
  const set = (node, text) => { if (node.textContent !== text) node.textContent = text; };

  const fill = (row, [key, state, may, to, ...cells]) => {
    row.dataset.key = key;
    row.dataset.state = state;
    row.querySelectorAll("[data-cell]").forEach((cell, place) => {
      set(cell, cells[place] ?? "");
      cell.toggleAttribute("data-none", cells[place] === "-");
    });
    const of = row.querySelector("input[name=of]");
    if (of) {
      of.value = key;
      of.form.setAttribute("aria-label", cells[0]);
      const focused = row.contains(document.activeElement) ? document.activeElement : null;
      row.querySelectorAll("button").forEach((one) => { one.hidden = !may.includes(one.value); });
      const log = row.querySelector("a.log");
      if (log) { log.hidden = !to; log.setAttribute("href", to || "#"); }
      if (focused && focused.hidden) row.querySelector("button:not([hidden])")?.focus();
    }
  };

  const table = (name, rows) => {
    const shown = document.querySelector(`table[data-rows="${name}"]`);
    if (!shown) return;
    const inside = shown.tBodies[0];
    const there = new Map([...inside.rows].map((row) => [row.dataset.key, row]));
    const kept = new Set(rows.map((row) => row[0]));
    there.forEach((row, key) => { if (!kept.has(key)) row.remove(); });
    let place = inside.firstElementChild;
    for (const values of rows) {
      let row = there.get(values[0]);
      if (!row) row = document.querySelector(`template[data-row="${name}"]`).content.firstElementChild.cloneNode(true);
      if (row === place) place = place.nextElementSibling;
      else inside.insertBefore(row, place);
      fill(row, values);
    }
    shown.hidden = rows.length === 0;
    document.querySelector(`[data-empty="${name}"]`).hidden = rows.length !== 0;
  };

  const drawn = (inside, name, all) => {
    while (inside.children.length > all.length) inside.lastElementChild.remove();
    while (inside.children.length < all.length) {
      const made = document.createElementNS(SVG, name);
      made.append(document.createElementNS(SVG, "title"));
      inside.append(made);
    }
    all.forEach(({ title, ...attributes }, place) => {
      const one = inside.children[place];
      for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
      if (title && one.firstElementChild) set(one.firstElementChild, title);
    });
  };

  const bar = (at, place) => {
    const shown = document.querySelector(`[data-bar="${place}"] svg`);
    if (!shown) return;
    shown.setAttribute("aria-label", at.words);
    drawn(shown.querySelector("[data-parts]"), "rect", at.parts.map((one) =>
      ({ class: `part ${one.kind}`, x: one.x, y: 6, width: one.width, height: 48, title: one.title })));
    drawn(shown.querySelector("[data-lines]"), "line", at.lines.map((one) =>
      ({ class: `line ${one.kind}`, x1: one.x, x2: one.x, y1: 0, y2: 60, title: one.title })));
  };

  const warnings = (all) => {
    const inside = document.getElementById("warnings");
    const there = [...inside.children].map((one) => one.textContent);
    if (there.length === all.length && there.every((text, place) => text === all[place])) return;
    inside.replaceChildren(...all.map((text) => {
      const made = document.createElement("p");
      made.className = "warning";
      made.textContent = text;
      return made;
    }));
  };

  /* A screen reader is told of a new sentence, and not of each figure in it that goes on. */
  const announced = (text) => {
    const without = (one) => one.replace(/[\d.]+/g, "");
    const shown = document.querySelector('[data-text="health"]').textContent;
    if (without(shown) !== without(text)) document.getElementById("announced").textContent = text;
  };

  const show = (at) => {
    announced(at.texts.health);
    body.dataset.level = at.level;
    for (const [name, text] of Object.entries(at.texts)) {
      document.querySelectorAll(`[data-text="${name}"]`).forEach((one) => set(one, text));
    }
    document.querySelector(".todo").hidden = !at.texts.todo;
    warnings(at.warnings);
    at.bars.forEach(bar);
    at.hosts.forEach((one, place) => bar(one, `h${place}`));
    document.querySelector(".area").setAttribute("d", at.course.area);
    document.querySelector(".used").setAttribute("d", at.course.line);
    drawn(document.querySelector("[data-course]"), "line", at.course.lines.map((one) =>
      ({ class: `line ${one.kind}`, x1: 0, x2: 1000, y1: one.y, y2: one.y })));
    for (const [name, rows] of Object.entries(at.tables)) table(name, rows);
  };

  const log = (shown, lines, fresh) => {
    const below = shown.scrollHeight - shown.scrollTop - shown.clientHeight < 40;
    const all = (fresh ? [] : shown.textContent.split("\n").slice(0, -1)).concat(lines).slice(-LINES);
    set(shown, all.map((one) => `${one}\n`).join(""));
    if (below || fresh) shown.scrollTop = shown.scrollHeight;
  };

  let source = null;
  const open = () => {
    if (source) return;
    source = new EventSource(body.dataset.stream || body.dataset.log);
    source.onopen = () => tell("live");
    source.onerror = () => tell(source && source.readyState === 2 ? "the stream has ended: reload" : "connection lost, trying again");
    const heard = (call) => (event) => { tell("live"); call(JSON.parse(event.data)); };
    source.addEventListener("history", heard(show));
    source.addEventListener("tick", heard(show));
    const shown = document.getElementById("log");
    source.addEventListener("lines", heard((at) => log(shown, at.lines, at.fresh)));
    source.addEventListener("over", (event) => { close(); tell(JSON.parse(event.data).words); });
  };
  const close = () => { if (source) { source.close(); source = null; } };
  let over = false;
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) { over = source === null; close(); tell(over ? link.textContent : "paused"); } else if (!over) open();
  });
  window.addEventListener("pagehide", close);
  window.addEventListener("pageshow", (event) => { if (event.persisted) open(); });

  document.addEventListener("submit", async (event) => {
    const form = event.target;
    const button = event.submitter;
    if (form.getAttribute("action") !== "/act" || !button) return;
    event.preventDefault();
    const name = form.querySelector("input[name=of]").value;
    if (button.value === "stop" && !window.confirm(`Stop ${name}? What it answers now breaks off.`)) return;
    const said = document.getElementById("said");
    button.disabled = true;
    try {
      const fields = new URLSearchParams(new FormData(form));
      fields.set("act", button.value);
      const answer = await fetch("/act", { method: "POST", body: fields, headers: { Accept: "application/json" } });
      set(said, (await answer.json()).said);
    } catch {
      set(said, "the gateway did not answer");
    }
    said.hidden = false;
    button.disabled = false;
  });

  if (body.dataset.stream || body.dataset.log) open();
})();
