"use strict";
// Shows tables that others made; verdicts are looked up, never decided here. Text from the catalog
// only ever becomes a text node, so that nothing an uploader writes can be more than text.
(() => {
  const facts = JSON.parse(document.getElementById("facts").textContent);
  const FLAGS = { gated: 1, manual: 2, conflict: 4, vision: 8 };
  const ORDER = ["ok", "tight", "risky", "unknown", "too-large", "no"];
  const AT_ONCE = 25; // models that are drawn before somebody scrolls
  const GB = [2, 4, 8, 16, 32];
  const CONTEXTS = [4096, 8192, 16384, 32768];
  const SORTS = ["best", "name", "small", "fast", "new", "popular"];
  const by = (id) => document.getElementById(id);

  // --- language and colours ------------------------------------------------------------------

  let words = rkfetchWords.en;
  const say = (key, values = {}) =>
    (words[key] ?? rkfetchWords.en[key] ?? key).replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");

  function speak(language) {
    words = rkfetchWords[language];
    document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
    for (const element of document.querySelectorAll("[data-word]")) element.textContent = say(element.dataset.word);
    const search = by("search");
    search.placeholder = say(search.dataset.wordPlaceholder);
    const other = by("language");
    other.textContent = language === "zh" ? "English" : "中文";
    other.lang = language === "zh" ? "en" : "zh";
    paint(document.documentElement.dataset.theme ?? "auto");
  }

  function paint(theme) {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    by("theme").textContent = say(`theme-${theme}`);
  }

  // --- what is shown, which is what the address says ------------------------------------------

  const plain = { soc: "", board: "", mem: "", rt: "", quant: "", ctx: "", sort: "best", q: "", all: "", lang: "", theme: "" };
  const state = { ...plain };
  let picked = new Map(); // reference -> {soc, row}

  function readAddress() {
    const said = new URLSearchParams(location.hash.slice(1));
    for (const key of Object.keys(plain)) state[key] = said.get(key) ?? plain[key];
    const known = facts.platforms.map((p) => p.id);
    const here = facts.here?.platform;
    if (!known.includes(state.soc)) {
      state.soc = known.includes(here) ? here : largest();
      if (state.soc === here) Object.assign(state, { mem: facts.here.memory ?? "", rt: facts.here.runtime ?? "" });
    }
    if (!facts.runtimes.includes(state.rt)) state.rt = "";
    state.mem = Number(state.mem) > 0 ? String(Number(state.mem)) : "";
    if (!SORTS.includes(state.sort)) state.sort = "best";
  }

  function largest() {
    const known = facts.platforms.filter((p) => p.cores);
    const first = known.find((p) => p.id === "rk3576" && p.builds);
    return (first ?? known.reduce((a, b) => (b.builds > a.builds ? b : a))).id;
  }

  function writeAddress() {
    const said = new URLSearchParams();
    for (const [key, value] of Object.entries(state)) if (value !== plain[key]) said.set(key, value);
    history.replaceState(null, "", `#${said}`);
  }

  const language = () => {
    if (state.lang in rkfetchWords) return state.lang;
    return navigator.language?.toLowerCase().startsWith("zh") ? "zh" : "en";
  };

  // --- the catalog's files ---------------------------------------------------------------------

  const arriving = new Map();
  window.rkfetchTable = (script, packed) => arriving.get(script.dataset.path)?.(packed);

  const loaded = new Map();
  function load(path) {
    if (!loaded.has(path)) {
      const made = new Promise((resolve, reject) => {
        const script = document.createElement("script");
        script.dataset.path = path;
        script.src = path;
        script.onerror = () => reject(new Error("failed"));
        arriving.set(path, (packed) => unpack(packed).then(resolve, () => reject(new Error("old"))));
        document.head.append(script);
      });
      made.catch(() => loaded.delete(path));
      loaded.set(path, made);
    }
    return loaded.get(path);
  }

  async function unpack(packed) {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Response(stream).json();
  }

  const platform = (id = state.soc) => facts.platforms.find((p) => p.id === id);
  let table = null;

  // --- one build --------------------------------------------------------------------------------

  class Row {
    constructor(table, number) {
      this.table = table;
      this.number = number;
    }
    get(column) { return this.table.builds[column][this.number]; }
    get model() { return this.table.models[this.get("m")]; }
    get repository() { return this.table.repositories[this.get("r")]; }
    get path() { return this.get("p"); }
    get name() { return `${this.repository[1]}/${this.path}`; }
    get quant() { return this.table.quants[this.get("q")]; }
    get toolkit() { return this.table.toolkits[this.get("t")]; }
    get memory() { return this.get("n"); }
    get measured() { return this.get("k") === 1; }
    get speed() { return this.get("v"); }
    has(flag) { return (this.get("a") & FLAGS[flag]) !== 0; }
    get reference() {
      const short = { huggingface: "hf", modelscope: "ms" };
      return `${short[this.repository[0]] ?? this.repository[0]}:${this.name}`;
    }
    get verdict() {
      const at = facts.runtimes.indexOf(state.rt) + 1;
      const [level, reasons] = this.table.verdicts[this.table.profiles[this.get("f")][at]];
      return { level, reasons: reasons.map((n) => this.table.reasons[n]) };
    }
    get tooLarge() { return Boolean(state.mem) && this.memory !== null && this.memory + facts.memory.system > room(); }
    get isTight() { return Boolean(state.mem) && this.memory !== null && this.memory + facts.memory.comfort > room(); }
    get status() { return statuses[this.number]; }
    judge() {
      const { level } = this.verdict;
      if (level === "incompatible") return "no";
      if (this.tooLarge) return "too-large";
      if (level === "risky" || level === "unknown") return level;
      return this.isTight ? "tight" : "ok";
    }
    get words() {
      const parts = [this.model[0], this.name, this.quant, this.toolkit, ...["vision", "gated"].filter((f) => this.has(f))];
      const text = parts.join(" ").toLowerCase();
      return `${text} ${squeeze(text)}`;
    }
    get command() {
      const on = [`--platform ${state.soc}`];
      if (state.rt) on.push(`--runtime ${state.rt}`);
      return `rkfetch ${quoted(this.reference)} ${facts.here ? "" : on.join(" ")}`.trim();
    }
  }

  const room = () => state.mem * 2 ** 30; // boards are sold by binary gigabytes
  const squeeze = (text) => text.replace(/[-_. :]/g, "");
  const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
  const gigabytes = (bytes) => (bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);
  const memoryOf = (row) => (row.memory === null ? "" : `${row.measured ? "" : "~"}${gigabytes(row.memory)}`);

  // --- which builds, in which order -------------------------------------------------------------

  let rows = [];
  let texts = [];
  let statuses = [];
  let judgedFor = null;

  function take(content) {
    table = content;
    rows = Array.from({ length: content.builds.m.length }, (_, n) => new Row(content, n));
    texts = rows.map((row) => row.words);
    judgedFor = null;
  }

  function judgeAll() {
    const asked = `${state.rt}/${state.mem}`;
    if (judgedFor === asked) return;
    statuses = rows.map((row) => row.judge());
    judgedFor = asked;
  }

  function matching() {
    const asked = state.q.toLowerCase().split(/\s+/).filter(Boolean).map((w) => [w, squeeze(w) || w]);
    return rows.filter((row, n) => {
      if (state.quant && !row.quant.split(" / ").some((q) => q === state.quant || q.startsWith(`${state.quant}_g`))) return false;
      if (state.ctx && !(row.get("c") >= Number(state.ctx))) return false;
      return asked.every(([word, tight]) => texts[n].includes(word) || texts[n].includes(tight));
    });
  }

  const rank = (row) => ORDER.indexOf(row.status);
  const last = (value) => (value === null || value === undefined ? Infinity : value);
  const compare = {
    best: (a, b) => rank(a) - rank(b) || (b.speed ?? 0) - (a.speed ?? 0) || last(a.memory) - last(b.memory),
    name: () => 0,
    small: (a, b) => last(a.memory) - last(b.memory),
    fast: (a, b) => (b.speed ?? 0) - (a.speed ?? 0),
    new: (a, b) => b.get("x").localeCompare(a.get("x")),
    popular: (a, b) => (b.repository[4] ?? 0) - (a.repository[4] ?? 0),
  };

  function grouped(found) {
    const groups = new Map();
    for (const row of found) {
      const name = row.model[0];
      if (!groups.has(name)) groups.set(name, []);
      groups.get(name).push(row);
    }
    for (const group of groups.values()) group.sort((a, b) => rank(a) - rank(b) || compare[state.sort](a, b));
    const best = ([, group]) => group.reduce((a, b) => (compare[state.sort](b, a) < 0 ? b : a));
    const found_ = [...groups].map((entry) => ({ entry, best: best(entry) }));
    // A model whose name nobody tells comes last.
    found_.sort((a, b) => (a.entry[0] === "") - (b.entry[0] === "") || compare[state.sort](a.best, b.best) ||
      a.entry[0].localeCompare(b.entry[0], "en", { numeric: true }));
    return found_.map(({ entry }) => entry);
  }

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

  // --- speed against memory -----------------------------------------------------------------------

  const SVG = "http://www.w3.org/2000/svg";
  function shape(tag, attributes, text) {
    const element = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text) element.append(text);
    return element;
  }

  const kind = (quant) => (quant.startsWith("w4") ? "w4" : quant.startsWith("w8") ? "w8" : "other");

  let plotted = null;
  let marks = []; // [element, model's name without separators]

  function drawPlot() {
    const isNarrow = innerWidth < 600;
    const asked = [state.soc, state.mem, document.documentElement.lang, isNarrow].join("/");
    if (plotted === asked) return;
    plotted = asked;
    marks = [];
    const figures = facts.measured[state.soc] ?? [];
    by("plot-part").hidden = figures.length === 0;
    if (figures.length === 0) return;
    const soc = state.soc.toUpperCase();
    by("plot-title").textContent = say("plot-title", { soc });
    by("plot-note").textContent = say("plot-note");
    const [width, height, left, bottom] = [isNarrow ? 360 : 760, isNarrow ? 300 : 330, 44, 44];
    const top = 14;
    const most = Math.max(...figures.map((f) => f[2])) / 1e9;
    const fastest = Math.max(...figures.map((f) => f[3]));
    const x = (gb) => left + (gb / (most * 1.05)) * (width - left - 14);
    const y = (speed) => height - bottom - (speed / (fastest * 1.08)) * (height - bottom - top);
    const svg = shape("svg", { viewBox: `0 0 ${width} ${height}`, role: "group", "aria-labelledby": "plot-title" });
    for (let gb = 0; gb <= most * 1.05; gb += most > 6 ? 2 : 1) {
      svg.append(shape("line", { class: "axis", x1: x(gb), x2: x(gb), y1: top, y2: height - bottom }), shape("text", { x: x(gb), y: height - bottom + 16, "text-anchor": "middle" }, String(gb)));
    }
    for (let speed = 0; speed <= fastest * 1.08; speed += fastest > 30 ? 10 : 5) {
      svg.append(shape("line", { class: "axis", x1: left, x2: width - 14, y1: y(speed), y2: y(speed) }), shape("text", { x: left - 8, y: y(speed) + 4, "text-anchor": "end" }, String(speed)));
    }
    svg.append(shape("text", { x: (width + left) / 2, y: height - 8, "text-anchor": "middle" }, say("plot-x")));
    svg.append(shape("text", { x: 14, y: (height - bottom) / 2, "text-anchor": "middle", transform: `rotate(-90 14 ${(height - bottom) / 2})` }, say("plot-y")));
    const limit = (room() - facts.memory.system) / 1e9;
    if (state.mem && limit < most * 1.05) {
      svg.append(shape("line", { class: "limit", x1: x(limit), x2: x(limit), y1: top, y2: height - bottom }), shape("text", { x: x(limit) - 5, y: top + 12, "text-anchor": "end" }, `${say("plot-limit")} (${state.mem} GB)`));
    }
    const models = new Map();
    for (const figure of figures) models.set(figure[0], [...(models.get(figure[0]) ?? []), figure]);
    for (const found of models.values()) {
      for (let n = 1; n < found.length; n += 1) {
        svg.append(shape("line", { class: "pair", x1: x(found[n - 1][2] / 1e9), y1: y(found[n - 1][3]), x2: x(found[n][2] / 1e9), y2: y(found[n][3]) }));
      }
    }
    for (const [model, quant, bytes, speed] of figures) {
      const text = say("plot-mark", { model, quant, speed: speed.toFixed(1), memory: gigabytes(bytes) });
      const mark = shape("g", { class: `dot ${kind(quant)}`, tabindex: "0", role: "button", "aria-label": text });
      mark.append(shape("title", {}, text), MARKS[kind(quant)](x(bytes / 1e9), y(speed)));
      const choose = () => { by("search").value = state.q = model.replace(/[()]/g, " ").replaceAll("-", " "); draw(); by("results").focus(); };
      mark.addEventListener("click", choose);
      mark.addEventListener("keydown", (event) => { if (["Enter", " "].includes(event.key)) { event.preventDefault(); choose(); } });
      svg.append(mark);
      marks.push([mark, squeeze(model.toLowerCase())]);
    }
    const kinds = [["w4", "w4a16"], ["w8", "w8a8"], ["other", "w4a8, fp16"]].filter(([name]) => figures.some((f) => kind(f[1]) === name));
    const legend = make("p", { class: "legend" }, ...kinds.map(([name, label]) => {
      const picture = shape("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" });
      const mark = shape("g", { class: name });
      mark.append(MARKS[name](8, 8));
      picture.append(mark);
      return make("span", {}, picture, ` ${label}`);
    }));
    by("plot").replaceChildren(legend, svg);
    by("plot-table").replaceChildren(make("table", {},
      make("thead", {}, make("tr", {}, ...["plot-model", "head-quant", "head-memory", "head-speed", "source"].map((w) => make("th", { scope: "col" }, say(w))))),
      make("tbody", {}, ...figures.map(([model, quant, bytes, speed, source]) => make("tr", {},
        make("td", {}, model), make("td", {}, quant), make("td", { class: "number" }, gigabytes(bytes)), make("td", { class: "number" }, speed.toFixed(1)), make("td", {}, link(source, say("source"))))))));
  }

  // Marks of other models than those that are searched for step back.
  function markPlot(found) {
    const names = state.q ? [...new Set(found.map((row) => squeeze(row.model[0].toLowerCase())))].filter(Boolean) : null;
    for (const [mark, model] of marks) {
      const isMeant = names === null || names.some((name) => name.includes(model) || model.includes(name));
      mark.classList.toggle("faded", !isMeant);
    }
  }

  // Told apart by their shapes, too.
  const MARKS = {
    w4: (x, y) => shape("circle", { cx: x, cy: y, r: 6 }),
    w8: (x, y) => shape("rect", { x: x - 5.5, y: y - 5.5, width: 11, height: 11 }),
    other: (x, y) => shape("path", { d: `M${x} ${y - 7}l7 12h-14z` }),
  };

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

  // --- on this machine ------------------------------------------------------------------------------

  const here = new Set(facts.here?.installed ?? []);
  const installed = (row) => here.has(row.reference);
  let jobs = {};
  let watching = null;

  async function ask(path, reference) {
    const headers = { "X-Rkfetch-Key": new URLSearchParams(location.search).get("key") };
    const answer = await fetch(path, reference === undefined
      ? { headers } : { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ reference }) });
    if (!answer.ok) throw new Error(String(answer.status));
    return answer.json();
  }

  async function order(path, reference) {
    try {
      jobs = await ask(path, reference);
      watch();
    } catch (error) {
      jobs[reference] = { state: "failed", why: error.message };
    }
    showJobs();
  }

  function watch() {
    watching ??= setInterval(async () => {
      try {
        jobs = await ask("/jobs");
      } catch {
        for (const job of Object.values(jobs)) if (job.state === "running") Object.assign(job, { state: "failed", why: say("gone") });
      }
      if (!Object.values(jobs).some((job) => job.state === "running")) {
        clearInterval(watching);
        watching = null;
      }
      showJobs();
    }, 500);
  }

  // The place of a build's button; what it shows changes while it is fetched.
  function fetchButton(row, file) {
    if (!facts.here || row.has("manual")) return null;
    const place = make("span", { class: "job", "data-reference": row.reference, "data-file": file });
    showJob(place);
    return place;
  }

  function showJobs() {
    for (const place of document.querySelectorAll(".job")) showJob(place);
  }

  function showJob(place) {
    const { reference, file } = place.dataset;
    const job = jobs[reference];
    const state = here.has(reference) && job?.state !== "done" ? "here" : job?.state ?? "none";
    if (state === "running" && place.dataset.state === "running") {
      const bar = place.querySelector("progress");
      if (job.total) Object.assign(bar, { max: job.total, value: job.completed });
      return;
    }
    if (place.dataset.state === state) return;
    const before = place.dataset.state;
    place.dataset.state = state;
    const button = (word, path, label) => make("button", { type: "button", class: "main", "aria-label": label, onclick: () => order(path, reference) }, say(word));
    if (state === "running") {
      place.replaceChildren(make("progress", { "aria-label": say("fetching") }), make("button", { type: "button", onclick: () => order("/stop", reference) }, say("stop")));
    } else if (state === "done") {
      const text = say("fetched", { path: job.path });
      here.add(reference);
      place.replaceChildren(make("span", { class: "why ok" }, text));
      if (before === "running") told(text);
    } else if (state === "here") {
      place.replaceChildren();
    } else {
      const again = button("fetch", "/fetch", say("fetch-for", { what: file }));
      const text = state === "failed" ? say("fetch-failed", { why: job.why ?? "" }) : "";
      place.replaceChildren(again, text ? make("span", { class: "why" }, text) : "");
      if (text && before === "running") told(text);
    }
  }

  // --- controls -------------------------------------------------------------------------------------

  function option(value, text, chosen) {
    return make("option", { value, selected: String(value) === String(chosen) }, text);
  }

  function fill() {
    const boards = by("board");
    boards.replaceChildren(...facts.platforms.map((p) => {
      const cores = p.cores === 1 ? say("core") : say("cores", { n: p.cores });
      const name = p.cores ? `${say("soc-alone", { soc: p.id.toUpperCase() })} (${cores})` : say("unknown-soc");
      const own = facts.boards.map((b, n) => [b, n]).filter(([b]) => b[1] === p.id);
      const list = [option(`${p.id}/`, name, `${state.soc}/${state.board}`), ...own.map(([b]) => option(`${p.id}/${b[0]}`, b[0], `${state.soc}/${state.board}`))];
      return make("optgroup", { label: `${p.cores ? p.id.toUpperCase() : "?"} · ${say("builds", { n: p.builds })}` }, ...list);
    }));
    const board = facts.boards.find((b) => b[0] === state.board);
    const sizes = board?.[2].length ? [...board[2]] : [...GB];
    if (state.mem && !sizes.includes(Number(state.mem))) sizes.push(Number(state.mem));
    sizes.sort((a, b) => a - b);
    by("memory").replaceChildren(option("", say("any"), state.mem), ...sizes.map((gb) => option(gb, `${gb} GB`, state.mem)));
    by("runtime").replaceChildren(option("", say("not-known"), state.rt), ...[...facts.runtimes].reverse().map((v) => option(v, v, state.rt)));
    const quants = [...new Set((table?.quants ?? []).flatMap((q) => q.split(" / ")).filter(Boolean))].sort();
    if (state.quant && !quants.includes(state.quant)) quants.push(state.quant);
    by("quant").replaceChildren(option("", say("any"), state.quant), ...quants.map((q) => option(q, q, state.quant)));
    by("context").replaceChildren(option("", say("any"), state.ctx), ...CONTEXTS.map((c) => option(c, String(c), state.ctx)));
    by("sort").replaceChildren(...SORTS.map((s) => option(s, say(`sort-${s}`), state.sort)));
    by("search").value = state.q;
    by("all").checked = Boolean(state.all);
    showPicked();
  }

  async function show() {
    speak(language());
    paint(["light", "dark"].includes(state.theme) ? state.theme : "auto");
    by("choose").hidden = false;
    const asked = state.soc;
    if (table === null) by("count").textContent = say("loading");
    try {
      const content = await load(platform().table);
      if (asked !== state.soc) return;
      take(content);
    } catch (error) {
      by("count").textContent = say(error.message);
      return;
    }
    fill();
    draw();
  }

  const follow = (id, key) => by(id).addEventListener("change", (event) => { state[key] = event.target.value; draw(); });
  for (const [id, key] of [["memory", "mem"], ["runtime", "rt"], ["quant", "quant"], ["context", "ctx"], ["sort", "sort"]]) follow(id, key);
  by("board").addEventListener("change", (event) => {
    const [soc, ...name] = event.target.value.split("/");
    Object.assign(state, { soc, board: name.join("/"), quant: "" });
    const sizes = facts.boards.find((b) => b[0] === state.board)?.[2] ?? [];
    if (sizes.length === 1) state.mem = String(sizes[0]);
    else if (sizes.length && !sizes.includes(Number(state.mem))) state.mem = "";
    show();
  });
  by("search").addEventListener("input", (event) => { state.q = event.target.value; draw(); });
  by("all").addEventListener("change", (event) => { state.all = event.target.checked ? "1" : ""; draw(); });
  by("choose").addEventListener("submit", (event) => event.preventDefault());
  by("language").addEventListener("click", () => { state.lang = language() === "zh" ? "en" : "zh"; show(); });
  by("theme").addEventListener("click", () => {
    state.theme = { "": "light", light: "dark", dark: "" }[state.theme] ?? "";
    paint(state.theme || "auto");
    writeAddress();
  });
  by("show-script").addEventListener("click", () => { by("script-text").value = script(); by("script").showModal(); });
  by("copy-script").addEventListener("click", () => copy(by("script-text").value));
  by("close-script").addEventListener("click", () => by("script").close());
  by("clear-picked").addEventListener("click", () => { picked = new Map(); draw(); showPicked(); });
  window.addEventListener("hashchange", () => { readAddress(); show(); });

  window.addEventListener("resize", () => { if (table !== null) { drawPlot(); markPlot(matching()); } });

  readAddress();
  show();
  if (facts.here) ask("/jobs").then((found) => { jobs = found; showJobs(); if (Object.keys(jobs).length) watch(); }, () => {});
})();
