"use strict";
// Reads the tables of builds, whose verdicts are looked up and never decided here; filters and sorts them.

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
