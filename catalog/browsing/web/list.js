"use strict";
// Draws the models with their builds, and the evidence of each.

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
  return /^https?:\/\/\S+$/.test(address ?? "")
    ? make("a", { href: address, rel: "noopener noreferrer" }, text) : make("span", {}, text);
}

const AT_ONCE = 8; // models that are drawn before somebody scrolls
const FEW = 4; // builds of a model before somebody asks for the others
const unfolded = new Set(); // names of models of which all builds are shown
const opened = new Set(); // references of builds whose evidence is shown

let groups = [];
let drawn = 0;

function draw() {
  writeAddress();
  if (table === null) return;
  judgeAll();
  const all = matching();
  const fitting = state.all ? all : all.filter((row) => !DOES_NOT_FIT.has(row.status));
  groups = grouped(fitting);
  showCount(groups.length, fitting.length, all.length - fitting.length);
  by("list").replaceChildren();
  drawn = 0;
  drawMore();
  drawPlot();
  markPlot(all);
}

function clear() {
  groups = [];
  drawn = 0;
  for (const id of ["list", "more", "hint"]) by(id).replaceChildren();
}

function showCount(models, builds, hidden) {
  const builds_ = builds === 1 ? say("build-one") : say("builds", { n: builds });
  const count = say(models === 1 ? "count-one" : "count", { models, builds: builds_ });
  by("count").textContent = models === 0 ? say("none") : count;
  const hints = [];
  if (!state.rt) hints.push(say("runtime-hint"));
  if (hidden) hints.push(say(hidden === 1 ? "hidden-one" : "hidden", { n: hidden }));
  if (models === 0) hints.push(say(state.all ? "none-at-all" : "none-hint"));
  by("hint").textContent = hints.join(" ");
}

const reached = new IntersectionObserver((seen) => {
  if (seen.some((entry) => entry.isIntersecting) && drawn < groups.length) drawMore();
}, { rootMargin: "800px" });

function drawMore() {
  const next = groups.slice(drawn, drawn + AT_ONCE);
  by("list").append(...next.map((group, n) => drawModel(group, `model-${drawn + n}`)));
  drawn += next.length;
  const more = by("more");
  more.replaceChildren(...(drawn < groups.length ? [make("button", { type: "button", onclick: drawMore }, say("more"))] : []));
  // Asked anew, it tells whether there is room still.
  reached.unobserve(more);
  reached.observe(more);
}

function drawModel({ name, builds }, title) {
  const ordered = inOrder(builds);
  const hub = ordered[0].model[1];
  const heading = make("h3", { id: title }, hub ? link(`https://huggingface.co/${hub}`, name) : name || say("no-model"));
  const body = make("tbody");
  const section = make("section", { class: "model", "aria-labelledby": title },
    make("header", {}, heading, make("p", {}, summary(ordered))),
    make("table", { class: "builds", "aria-labelledby": title },
      make("thead", {}, make("tr", {}, ...HEADS.map((head) =>
        make("th", { scope: "col", class: NUMBERS.has(head) ? "number" : null }, say(`head-${head}`))))),
      body));
  const isLong = ordered.length > FEW + 1 && !unfolded.has(name);
  body.append(...(isLong ? ordered.slice(0, FEW) : ordered).flatMap(drawBuild));
  if (isLong) {
    const others = ordered.slice(FEW);
    const unfold = make("button", { type: "button", class: "unfold", onclick: () => {
      unfolded.add(name);
      const rest = others.flatMap(drawBuild);
      unfold.remove();
      body.append(...rest);
      rest[0].querySelector("input, button, a")?.focus();
    } }, say("builds-more", { n: others.length }));
    section.append(unfold);
  }
  return section;
}

function summary(ordered) {
  const counts = ordered.length === 1 ? say("build-one") : say("builds", { n: ordered.length });
  const best = ordered.reduce((a, b) => (taken(b, a) < 0 ? b : a));
  if (RANK[best.status] > 0 || !best.quant || best.memory === null) return counts;
  const speed = best.speed === null ? [] : [`${best.speed.toFixed(1)} ${say("head-speed")}`];
  const said = [best.quant, ...speed, say("of-memory", { memory: memoryOf(best) })].join(say("join-list"));
  return [counts, say("best", { said })].join(say("join-sentence"));
}

const HEADS = ["verdict", "quant", "toolkit", "context", "size", "memory", "speed", "file", "do"];
const NUMBERS = new Set(["context", "size", "memory", "speed"]);
const SIGNS = { ok: "✓", tight: "✓", risky: "!", unknown: "?", no: "✕", "too-large": "✕" };
const value = (head, text) => make("td", { "data-label": say(`head-${head}`) }, text || say("not-known"));
const number = (head, text) => make("td", { class: `number${text ? "" : " empty"}`, "data-label": say(`head-${head}`) }, text);

// The row of a build; and that of its evidence, if somebody opened it.
function drawBuild(row) {
  const marks = Object.keys(FLAGS).filter((flag) => row.has(flag)).map((flag) =>
    make("span", { class: `mark ${flag}`, title: say(`${flag}-why`) }, say(flag)));
  if (installed(row)) marks.push(make("span", { class: "mark ok" }, say("installed")));
  const why = reasonsOf(row);
  const isOpen = opened.has(row.reference);
  const evidence = make("button", {
    type: "button", "aria-expanded": String(isOpen), "aria-label": say("evidence-for", { what: row.file }),
    onclick: (event) => toggle(row, event.currentTarget),
  }, say("evidence"));
  const line = make("tr", { class: DOES_NOT_FIT.has(row.status) ? "no" : null },
    make("td", { class: "verdict" },
      make("strong", { class: DOES_NOT_FIT.has(row.status) ? "no-good" : row.status, title: why.map((r) => r.text).join("\n") }, `${SIGNS[row.status]} ${say(row.status)}`),
      RANK[row.status] === 0 ? null : make("span", { class: "why" }, why[0]?.text)),
    value("quant", row.quant),
    value("toolkit", row.toolkit),
    number("context", String(row.get("c") ?? "")),
    number("size", row.size === null ? "" : gigabytes(row.size)),
    number("memory", memoryOf(row)),
    number("speed", row.speed === null ? "" : row.speed.toFixed(1)),
    make("td", { class: "file" }, link(row.repository[2], row.repository[1]), " ", ...marks, make("small", {}, row.path)),
    make("td", { class: "do" }, ...(row.has("manual") ? [] : commands(row)), evidence));
  return isOpen ? [line, detail(row)] : [line];
}

function commands(row) {
  const box = make("input", {
    type: "checkbox", checked: isPicked(row), "aria-label": say("pick-for", { what: row.file }),
    onchange: (event) => pick(row, event.target.checked),
  });
  const button = make("button", {
    type: "button", "aria-label": say("copy-command-for", { what: row.file }),
    onclick: (event) => copy(row.command, event.currentTarget),
  }, say("copy-command"));
  return [canPick(row) ? make("label", { class: "pick" }, box, say("pick")) : null, button, fetchButton(row)];
}

function reasonsOf(row) {
  const values = { toolkit: row.toolkit, runtime: state.rt, quant: row.quant, driver: facts.here?.driver };
  const said = row.reasons.map(([rule, text, source, level]) => ({
    text: (words.reason[`${rule}/${level}`] ?? words.reason[rule])?.replace(/\{(\w+)\}/g, (_, name) => values[name]) ?? text, source,
  }));
  if (!row.leaves(facts.memory.comfort)) {
    const how = say(row.measured ? "measured" : "estimated");
    const text = say("needs", { need: gigabytes(row.memory), how, has: `${state.mem} GB` });
    said.splice(["too-large", "tight"].includes(row.status) ? 0 : said.length, 0, { text, source: null });
  }
  return said;
}

// --- evidence -----------------------------------------------------------------------------------

function toggle(row, button) {
  const line = button.closest("tr");
  const isOpen = button.getAttribute("aria-expanded") === "true";
  button.setAttribute("aria-expanded", String(!isOpen));
  if (isOpen) {
    opened.delete(row.reference);
    line.nextElementSibling.remove();
  } else {
    opened.add(row.reference);
    line.after(detail(row));
  }
}

function detail(row) {
  const cell = make("td", { class: "free", colspan: HEADS.length }, say("loading"));
  const part = platform(row.soc).evidence[Math.floor(row.number / facts.every)];
  load(part).then(
    (known) => cell.replaceChildren(...drawEvidence(row, known[row.number % facts.every])),
    (error) => cell.replaceChildren(say(error.message)),
  );
  return make("tr", { class: "detail" }, cell);
}

function drawEvidence(row, known) {
  const pairs = [
    [say("command-is"), !row.has("manual") && make("code", {}, row.command)],
    [say("licence"), row.repository[3]],
    [say("downloads"), row.repository[4] === null ? null : String(row.repository[4])],
    ["SHA-256", known.sha256 && make("code", {}, known.sha256)],
    [say("note"), known.note],
  ].filter(([, said]) => said);
  const why = reasonsOf(row).map(({ text, source }) =>
    make("li", {}, text, source ? " " : "", source ? link(source, say("source")) : ""));
  const parts = [make("dl", {}, ...pairs.flatMap(([name, said]) => [make("dt", {}, name), make("dd", {}, said)]))];
  if (why.length) parts.push(make("h4", {}, say("reasons")), make("ul", {}, ...why));
  parts.push(make("h4", {}, say("evidence")), drawObservations(row, known));
  if (known.companions.length) {
    parts.push(make("h4", {}, say("belongs")), make("ul", {}, ...known.companions.map(([role, path, size]) =>
      make("li", {}, `${words.role?.[role] ?? role}: ${path}`, size ? say("join-list") + gigabytes(size) : ""))));
  }
  if (known.also.length) {
    parts.push(make("h4", {}, say("also-at")), make("ul", {}, ...known.also.map(([, repo, path, page]) =>
      make("li", {}, link(page, repo), ` ${path}`))));
  }
  return parts;
}

function drawObservations(row, known) {
  const heads = ["attribute", "value", "origin", "place", "seen", "counts"].map((head) =>
    make("th", { scope: "col" }, say(`says-${head}`)));
  const lines = Object.entries(known.attributes).flatMap(([attribute, said]) => said.map(
    ([text, origin, place, seen, publisher, weight]) => make("tr", {},
      make("td", {}, words.attribute?.[attribute] ?? attribute), make("td", { class: "free" }, text),
      make("td", {}, `${words.origin?.[origin] ?? origin}${publisher ? ` (${publisher})` : ""}`),
      // What a name tells is seen where the file is.
      make("td", { class: "free" }, link(/^https?:/.test(place) ? place : row.repository[2], place)),
      make("td", {}, seen), make("td", {}, say(weight)))));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines));
}
