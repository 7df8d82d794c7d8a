"use strict";
// On the machine that shows the page itself: what is installed, and fetching.

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
