// Fills the live page from what analysis/live/state.py says; decides nothing itself.
"use strict";

const PAUSE_MS = 2000; // between an answer and the next question
const PATIENCE_MS = 30000; // a bucket is slow

const CONFIG = { responsive: true, displaylogo: false, displayModeBar: false };
const FONT = { family: "system-ui, sans-serif", size: 13, color: "#1a2230" };
const AXIS = { gridcolor: "#d9dee5", zeroline: false, automargin: true };

const place = (id) => document.getElementById(id);
const has = Object.prototype.hasOwnProperty;

function element(name, text, attributes = {}) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

function say(id, text) {
  if (place(id).textContent !== text) place(id).textContent = text; // else read aloud again
}

function table(id, said) {
  const target = place(id);
  if (said === null) return target.replaceChildren();
  const number = (column) => (column >= said.text_columns ? { class: "n" } : {});
  const head = element("tr");
  said.headers.forEach((text, column) =>
    head.append(element("th", text, { scope: "col", ...number(column) })));
  const body = element("tbody");
  for (const cells of said.rows) {
    const row = element("tr");
    cells.forEach((text, column) => {
      const [first, ...rest] = text.split("\n");
      const cell = element(column ? "td" : "th", first, column ? number(column) : { scope: "row" });
      rest.forEach((line) => cell.append(element("small", line)));
      row.append(cell);
    });
    body.append(row);
  }
  const made = element("table");
  const thead = element("thead");
  thead.append(head);
  made.append(element("caption", said.caption), thead, body);
  const region = { class: "scroll", tabindex: "0", role: "region", "aria-label": said.caption };
  const scroll = element("div", undefined, region);
  scroll.append(made);
  target.replaceChildren(scroll);
}

function figure(id, said) {
  const target = place(id);
  target.hidden = said === null;
  if (said === null) return;
  target.setAttribute("aria-label", said.alt);
  const { xaxis, yaxis, height = 460, ...rest } = said.layout;
  target.style.height = `${height}px`; // not in the layout: plotly forgets it in a resize
  const layout = {
    font: FONT, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    margin: { l: 60, r: 20, t: 30, b: 50 }, autosize: true, uirevision: id, hovermode: "closest",
    legend: { orientation: "h", yref: "container", y: 0, yanchor: "bottom" },
    xaxis: { ...AXIS, ...xaxis }, yaxis: { ...AXIS, ...yaxis }, ...rest,
  };
  Plotly.react(target, said.data, layout, CONFIG);
}

function facts(said) {
  place("facts").replaceChildren(...said.map(([name, value]) => {
    const one = element("div");
    one.append(element("dt", name), element("dd", value));
    return one;
  }));
}

const SHOWN = {
  tradeoff: figure, race: figure, layers: figure, layers_of: say,
  confirmed: table, race_table: table, layer_counts: table, failures: table, stages: table,
};

function show(said) {
  for (const [id, draw] of Object.entries(SHOWN)) {
    if (!has.call(said, id)) continue;
    const section = place(id).closest("section");
    if (said[id] !== null) section.hidden = false; // before: a hidden figure has no width
    draw(id, said[id]);
  }
  for (const section of document.querySelectorAll("main > section")) {
    const filled = section.querySelector("figure:not([hidden]), table");
    section.hidden = filled === null;
  }
}

function now(said) {
  document.body.dataset.state = said.state;
  say("headline", said.headline);
  say("detail", said.detail);
  place("bar").hidden = said.done === null;
  if (said.done !== null) [place("bar").value, place("bar").max] = said.done;
  facts(said.facts);
  show({ stages: said.stages });
}

let seen = "";
let answered = Date.now();

async function ask() {
  const answer = await fetch(`state?seen=${encodeURIComponent(seen)}`,
    { signal: AbortSignal.timeout(PATIENCE_MS), credentials: "same-origin" });
  const said = answer.ok || answer.status === 503 ? await answer.json() : {};
  if (!answer.ok) throw new Error(said.error || `the server answers ${answer.status}`);
  now(said.now);
  if (said.drawn !== undefined) show(said.drawn);
  seen = said.seen;
  answered = Date.now();
}

async function forever() {
  for (;;) {
    let lost = "";
    try {
      await ask();
    } catch (error) {
      lost = error instanceof TypeError || error.name === "TimeoutError"
        ? "the dashboard does not answer; it may have ended" : error.message;
    }
    const at = new Date(answered).toLocaleTimeString();
    say("connection", lost ? `${lost}; this is as of ${at}` : `live, as of ${at}`);
    place("connection").toggleAttribute("data-lost", Boolean(lost));
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

history.replaceState(null, "", location.pathname); // the token is used up, and nobody's business
forever();
