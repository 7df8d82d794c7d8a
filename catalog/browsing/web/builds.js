"use strict";
// Reads the tables of builds, whose verdicts are looked up and never decided here; filters and sorts them.

// --- the catalog's files ---------------------------------------------------------------------

const arriving = new Map();
window.rkfetchTable = (script, packed) => {
  const { path } = script.dataset;
  arriving.get(path)?.(packed);
  arriving.delete(path);
};

const loaded = new Map();
function load(path) {
  if (!loaded.has(path)) {
    const made = new Promise((resolve, reject) => {
      const script = document.createElement("script");
      const fail = () => reject(new Error("failed"));
      script.dataset.path = path;
      script.src = path;
      script.onerror = fail;
      // Half a file, or something else in its place, hands nothing over.
      script.onload = () => arriving.has(path) && fail();
      arriving.set(path, (packed) => unpack(packed).then(resolve, reject));
      document.head.append(script);
    });
    made.catch(() => { loaded.delete(path); arriving.delete(path); });
    loaded.set(path, made);
  }
  return loaded.get(path);
}

async function unpack(packed) {
  if (!("DecompressionStream" in window)) throw new Error("old");
  try {
    const bytes = Uint8Array.from(atob(packed), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return await new Response(stream).json();
  } catch {
    throw new Error("failed");
  }
}

const platform = (id = state.soc) => facts.platforms.find((p) => p.id === id);

// --- one build --------------------------------------------------------------------------------

const FLAGS = { gated: 1, manual: 2, conflict: 4, vision: 8 };
// In the order in which they are shown; what runs with little memory left is as good as what runs.
const RANK = { ok: 0, tight: 0, risky: 1, unknown: 2, "too-large": 3, no: 4 };
const DOES_NOT_FIT = new Set(["no", "too-large"]);

class Row {
  constructor(table, soc, number) {
    this.table = table;
    this.soc = soc;
    this.number = number;
  }
  get(column) { return this.table.builds[column][this.number]; }
  get model() { return this.table.models[this.get("m")]; }
  get repository() { return this.table.repositories[this.get("r")]; }
  get path() { return this.get("p"); }
  get file() { return this.path.split("/").at(-1); }
  get name() { return `${this.repository[1]}/${this.path}`; }
  get reference() { return `${this.repository[0]}:${this.name}`; }
  get quant() { return this.table.quants[this.get("q")]; }
  get toolkit() { return this.table.toolkits[this.get("t")]; }
  get size() { return this.get("s"); }
  get memory() { return this.get("n"); }
  get measured() { return this.get("k") === 1; }
  get speed() { return this.get("v"); }
  has(flag) { return (this.get("a") & FLAGS[flag]) !== 0; }
  get reasons() { return this.verdict[1].map((n) => this.table.reasons[n]); }
  leaves(bytes) { return !state.mem || this.memory === null || this.memory + bytes <= room(); }
  judge(runtime) {
    this.verdict = this.table.verdicts[this.table.profiles[this.get("f")][runtime]];
    const [level] = this.verdict;
    if (level === "incompatible") this.status = "no";
    else if (!this.leaves(facts.memory.system)) this.status = "too-large";
    else if (level === "risky" || level === "unknown") this.status = level;
    else this.status = this.leaves(facts.memory.comfort) ? "ok" : "tight";
  }
  get words() {
    const marks = ["vision", "gated", "manual"].filter((flag) => this.has(flag));
    const said = [...marks.map((flag) => rkfetchWords.zh[flag]), ...marks, this.repository[3]];
    const text = [this.model[0], this.name, this.quant, this.toolkit, ...said].join(" ").toLowerCase();
    return `${text} ${squeeze(text)}`;
  }
  // What is not downloaded by rkfetch has no command.
  get command() {
    const on = this.soc === "unknown" ? [] : ["--platform", this.soc];
    if (state.rt) on.push("--runtime", state.rt);
    return ["rkfetch", quoted(this.reference), ...on].join(" ");
  }
}

const room = () => state.mem * 2 ** 30; // boards are sold by binary gigabytes
const squeeze = (text) => text.replace(/[-_. :]/g, "");
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
const gigabytes = (bytes) => (bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);
const memoryOf = (row) => (row.memory === null ? "" : `${row.measured ? "" : "~"}${gigabytes(row.memory)}`);

// --- which builds, in which order -------------------------------------------------------------

let table = null;
let rows = [];
let texts = null; // of each row, from the first search on
let judgedFor = null;

function take(content, soc) {
  table = content;
  rows = content === null ? [] : Array.from({ length: content.builds.m.length }, (_, n) => new Row(content, soc, n));
  texts = judgedFor = null;
}

function judgeAll() {
  const asked = `${state.rt}/${state.mem}`;
  if (judgedFor === asked) return;
  const runtime = facts.runtimes.indexOf(state.rt) + 1;
  for (const row of rows) row.judge(runtime);
  judgedFor = asked;
}

function prepare() {
  texts ??= rows.map((row) => row.words);
}

function matching() {
  const asked = state.q.toLowerCase().split(/\s+/).filter(Boolean).map((w) => [w, squeeze(w) || w]);
  if (asked.length) prepare();
  return rows.filter((row, n) => {
    if (state.quant && !row.quant.split(" / ").some((q) => q === state.quant || q.startsWith(`${state.quant}_g`))) return false;
    if (state.ctx && !(row.get("c") >= Number(state.ctx))) return false;
    return asked.every(([word, tight]) => texts[n].includes(word) || texts[n].includes(tight));
  });
}

const collator = new Intl.Collator("en", { numeric: true });
const last = (value) => value ?? Infinity;
// Which of two builds rkfetch would take.
const taken = (a, b) => RANK[a.status] - RANK[b.status] || a.verdict[2] - b.verdict[2] || a.get("o") - b.get("o");
const compare = {
  best: (a, b) => RANK[a.status] - RANK[b.status] || (b.speed ?? 0) - (a.speed ?? 0) || last(a.memory) - last(b.memory),
  name: () => 0,
  small: (a, b) => last(a.memory) - last(b.memory),
  fast: (a, b) => (b.speed ?? 0) - (a.speed ?? 0),
  new: (a, b) => b.get("x").localeCompare(a.get("x")),
  popular: (a, b) => (b.repository[4] ?? 0) - (a.repository[4] ?? 0),
};

const withinModel = () => (["best", "name"].includes(state.sort) ? taken : compare[state.sort]);

// The models of these builds in the order that is asked for: {name, builds, first}.
function grouped(found) {
  const groups = [];
  for (const row of found) (groups[row.get("m")] ??= []).push(row);
  const within = withinModel();
  const least = (builds, order) => builds.reduce((a, b) => (order(b, a) < 0 ? b : a));
  const models = Object.values(groups).map((builds) => ({ name: builds[0].model[0], builds, first: least(builds, within) }));
  // A model whose name nobody tells comes last.
  models.sort((a, b) => (a.name === "") - (b.name === "") || compare[state.sort](a.first, b.first) ||
    collator.compare(a.name, b.name));
  return models;
}

function inOrder(builds) {
  const within = withinModel();
  return [...builds].sort((a, b) => RANK[a.status] - RANK[b.status] || within(a, b));
}
