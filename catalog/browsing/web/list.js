"use strict";
// Draws the models with their builds, the evidence of each, and copies commands.

// --- drawing ------------------------------------------------------------------------------------

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter((c) => c !== null && c !== undefined && c !== ""));
  return element;
}

function link(address, text) {
  return /^https?:\/\/\S+$/.test(address ?? "") ? make("a", { href: address, rel: "noopener noreferrer" }, text) : make("span", {}, text);
}

const told = (text) => { by("said").textContent = text; };

let groups = [];
let drawn = 0;

function draw() {
  writeAddress();
  if (table === null) return;
  judgeAll();
  const all = matching();
  const fitting = state.all ? all : all.filter((row) => !["no", "too-large"].includes(row.status));
  groups = grouped(fitting);
  const models = groups.length;
  by("count").textContent = models === 0 ? say("none") : say(models === 1 ? "count-one" : "count", { models, builds: fitting.length });
  const hints = [];
  if (!state.rt) hints.push(say("runtime-hint"));
  if (all.length > fitting.length) hints.push(say("hidden", { n: all.length - fitting.length }));
  if (models === 0) hints.push(say("none-hint"));
  by("hint").textContent = hints.join(" ");
  by("list").replaceChildren();
  drawn = 0;
  drawMore();
  drawPlot();
  markPlot(all);
}

function drawMore() {
  const next = groups.slice(drawn, drawn + AT_ONCE);
  by("list").append(...next.map(([name, found], n) => drawModel(name, found, drawn + n)));
  drawn += next.length;
  by("more").replaceChildren(...(drawn < groups.length ? [make("button", { type: "button", onclick: drawMore }, say("more"))] : []));
}

new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting) && drawn < groups.length) drawMore();
}, { rootMargin: "800px" }).observe(by("more"));

function drawModel(name, found, number) {
  const title = `model-${number}`;
  const best = found[0];
  const counts = found.length === 1 ? say("build-one") : say("builds", { n: found.length });
  const memory = memoryOf(best);
  const speed = best.speed === null ? "" : `${best.speed.toFixed(1)} ${say("head-speed")}, `;
  const summary = ["ok", "tight"].includes(best.status) && best.quant && memory
    ? `${counts}; ${say("best", { quant: best.quant, speed, memory })}` : counts;
  const hub = best.model[1];
  const heading = make("h3", { id: title }, hub ? link(`https://huggingface.co/${hub}`, name) : name || say("no-model"));
  return make("section", { class: "model", "aria-labelledby": title },
    make("header", {}, heading, make("p", {}, summary)),
    make("table", { class: "builds", "aria-labelledby": title },
      make("thead", {}, make("tr", {}, ...["verdict", "quant", "toolkit", "context", "size", "memory", "speed", "file", "do"].map((head) =>
        make("th", { scope: "col", class: NUMBERS.has(head) ? "number" : null }, say(`head-${head}`))))),
      make("tbody", {}, ...found.map(drawBuild))));
}

const NUMBERS = new Set(["context", "size", "memory", "speed"]);
const number = (head, text) => make("td", { class: `number${text ? "" : " empty"}`, "data-label": say(`head-${head}`) }, text);

function drawBuild(row) {
  const { status } = row;
  const marks = ["vision", "gated", "manual", "conflict"].filter((flag) => row.has(flag)).map((flag) =>
    make("span", { class: `mark ${flag}`, title: flag === "vision" ? null : say(`${flag}-why`) }, say(flag)));
  if (installed(row)) marks.push(make("span", { class: "mark ok" }, say("installed")));
  const why = reasonsOf(row);
  const colour = { no: "no-good", "too-large": "no-good" }[status] ?? status;
  const file = row.path.split("/").at(-1);
  return make("tr", { class: ["no", "too-large"].includes(status) ? "no" : null },
    make("td", { class: "verdict" },
      make("strong", { class: colour, title: why.map((r) => r.text).join("\n") }, `${SIGNS[status]} ${say(status)}`),
      ["ok", "tight"].includes(status) ? null : make("span", { class: "why" }, why[0]?.text)),
    make("td", { "data-label": say("head-quant") }, row.quant || say("not-known")),
    make("td", { "data-label": say("head-toolkit") }, row.toolkit || say("not-known")),
    number("context", row.get("c") === null ? "" : String(row.get("c"))),
    number("size", row.get("s") === null ? "" : gigabytes(row.get("s"))),
    number("memory", memoryOf(row)),
    number("speed", row.speed === null ? "" : row.speed.toFixed(1)),
    make("td", { class: "file" }, link(row.repository[2], row.repository[1]), " ", ...marks, make("small", {}, row.path)),
    make("td", { class: "do" },
      make("label", { class: "pick" }, make("input", {
        type: "checkbox", checked: picked.has(row.reference), "aria-label": say("pick-for", { what: file }), onchange: (event) => pick(row, event.target.checked),
      }), say("pick")),
      make("button", { type: "button", "aria-label": say("copy-command-for", { what: file }), onclick: () => copy(row.command) }, say("copy-command")),
      fetchButton(row, file),
      make("button", { type: "button", "aria-expanded": "false", "aria-label": say("evidence-for", { what: file }), onclick: (event) => toggle(row, event.currentTarget) }, say("evidence"))));
}

const SIGNS = { ok: "✓", tight: "✓", risky: "!", unknown: "?", no: "✕", "too-large": "✕" };

function reasonsOf(row) {
  const values = { toolkit: row.toolkit, runtime: state.rt, quant: row.quant };
  const said = row.verdict.reasons.map(([rule, text, source]) => ({
    text: words.reason[rule]?.replace(/\{(\w+)\}/g, (_, name) => values[name]) ?? text, source,
  }));
  if (row.tooLarge || row.isTight) {
    const text = say("needs", { need: gigabytes(row.memory), how: say(row.measured ? "measured" : "estimated"), has: `${state.mem} GB` });
    said.splice(row.status === "too-large" || row.status === "tight" ? 0 : said.length, 0, { text, source: null });
  }
  return said;
}

// --- evidence -----------------------------------------------------------------------------------

async function toggle(row, button) {
  const line = button.closest("tr");
  if (button.getAttribute("aria-expanded") === "true") {
    line.nextElementSibling.remove();
    button.setAttribute("aria-expanded", "false");
    return;
  }
  button.setAttribute("aria-expanded", "true");
  const cell = make("td", { colspan: 9 }, say("loading"));
  line.after(make("tr", { class: "detail" }, cell));
  try {
    const part = await load(platform().evidence[Math.floor(row.number / facts.every)]);
    cell.replaceChildren(...drawEvidence(row, part[row.number % facts.every]));
  } catch (error) {
    cell.replaceChildren(say(error.message));
  }
}

function drawEvidence(row, known) {
  const pairs = [
    [say("command-is"), make("code", {}, row.command)],
    [say("licence"), row.repository[3]],
    [say("downloads"), row.repository[4] === null ? null : String(row.repository[4])],
    ["SHA-256", known.sha256 && make("code", {}, known.sha256)],
    ["", known.note],
  ].filter(([, value]) => value);
  const why = reasonsOf(row).map(({ text, source }) =>
    make("li", {}, text, source ? " " : "", source ? link(source, say("source")) : ""));
  const lines = Object.entries(known.attributes).flatMap(([attribute, said]) => {
    const strongest = said[0][1];
    const contenders = new Set(said.filter((e) => e[1] === strongest).map((e) => e[0]));
    return said.map(([value, origin, place, seen, publisher]) => {
      const state = contenders.has(value) ? (contenders.size > 1 ? "disputed" : "counts") : "overruled";
      return make("tr", {},
        make("td", {}, words.attribute?.[attribute] ?? attribute), make("td", {}, value),
        make("td", {}, `${words.origin?.[origin] ?? origin}${publisher ? ` (${publisher})` : ""}`),
        make("td", { class: "place" }, link(place, place)), make("td", {}, seen), make("td", {}, say(state)));
    });
  });
  const heads = ["says-attribute", "says-value", "says-origin", "says-place", "says-seen"].map((w) => make("th", { scope: "col" }, say(w)));
  const parts = [make("dl", {}, ...pairs.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]))];
  if (why.length) parts.push(make("h4", {}, say("reasons")), make("ul", {}, ...why));
  parts.push(make("h4", {}, say("evidence")), make("table", {}, make("thead", {}, make("tr", {}, ...heads, make("td", {}))), make("tbody", {}, ...lines)));
  if (known.companions.length) {
    parts.push(make("h4", {}, say("belongs")), make("ul", {}, ...known.companions.map(([role, path, size]) =>
      make("li", {}, `${role === "vision" ? say("vision") : role}: ${path}${size ? `, ${gigabytes(size)}` : ""}`))));
  }
  if (known.also.length) {
    parts.push(make("h4", {}, say("also-at")), make("ul", {}, ...known.also.map(([, repo, path, page]) =>
      make("li", {}, link(page, repo), ` ${path}`))));
  }
  return parts;
}

// --- commands -----------------------------------------------------------------------------------

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    told(say("copied", { what: text }));
  } catch {
    by("script-text").value = text;
    if (!by("script").open) by("script").showModal();
    by("script-text").select();
    told(document.execCommand("copy") ? say("copied", { what: text }) : say("cannot-copy"));
  }
}

function pick(row, isChosen) {
  if (isChosen) picked.set(row.reference, row.command);
  else picked.delete(row.reference);
  showPicked();
}

function showPicked() {
  by("picked").hidden = picked.size === 0;
  by("picked-count").textContent = say("picked", { n: picked.size });
}

function script() {
  const lines = ["#!/bin/sh", "# Made by the page of an rkfetch catalog. It may be run again.", "set -eu"];
  return [...lines, ...[...picked.values()].map((command) => `${command} --quiet`), ""].join("\n");
}
