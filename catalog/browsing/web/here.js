"use strict";
// On the machine that shows the page itself: what is installed, and fetching.

const here = new Set(facts.here?.installed ?? []);
const installed = (row) => here.has(row.reference);
const isGoing = (job) => ["running", "waiting"].includes(job?.state);
let jobs = {};
let watching = null;

async function ask(path, reference) {
  const headers = { "X-Rkfetch-Key": new URLSearchParams(location.search).get("key") };
  const order = { method: "POST", headers: { ...headers, "Content-Type": "application/json" }, body: JSON.stringify({ reference }) };
  let answer;
  try {
    answer = await fetch(path, reference === undefined ? { headers } : order);
  } catch {
    throw new Error(say("gone"));
  }
  // Another one was started since, at the same port.
  if (!answer.ok) throw new Error(say(answer.status === 403 ? "gone" : "failed"));
  return answer.json();
}

// What came since the page was made.
function nowHere(references) {
  const known = [...here].sort().join();
  here.clear();
  for (const reference of references) here.add(reference);
  if ([...here].sort().join() !== known) draw();
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
    } catch (error) {
      for (const job of Object.values(jobs)) if (isGoing(job)) Object.assign(job, { state: "failed", why: error.message });
    }
    if (!Object.values(jobs).some(isGoing)) {
      clearInterval(watching);
      watching = null;
    }
    showJobs();
  }, 500);
}

// The place of a build's button; what it shows changes while it is fetched. None for what this machine does not run.
function fetchButton(row) {
  if (facts.here?.platform !== row.soc || DOES_NOT_FIT.has(row.status)) return null;
  const place = make("span", { class: "job", "data-reference": row.reference, "data-file": row.file });
  showJob(place);
  return place;
}

function showJobs() {
  for (const place of document.querySelectorAll(".job")) showJob(place);
}

function showJob(place) {
  const { reference, file } = place.dataset;
  const job = jobs[reference];
  const shown = here.has(reference) && !["done", "running", "waiting"].includes(job?.state) ? "here" : job?.state ?? "none";
  if (place.dataset.state !== shown) {
    const before = place.dataset.state;
    const hadFocus = place.contains(document.activeElement);
    place.dataset.state = shown;
    place.replaceChildren(...drawJob(shown, job, reference, file));
    if (hadFocus) (place.querySelector("button") ?? place.closest("td").querySelector("button"))?.focus();
    if (before !== undefined && ["done", "failed"].includes(shown)) told(place.innerText);
  }
  if (shown === "running") showProgress(place, job);
}

function drawJob(shown, job, reference, file) {
  const button = (word, path) => make("button", {
    type: "button", class: path === "/fetch" ? "main" : null, "aria-label": say(`${word}-for`, { what: file }),
    onclick: () => order(path, reference),
  }, say(word));
  const why = (text, colour = "") => make("span", { class: `why ${colour}` }, text);
  if (shown === "running") return [make("progress", { "aria-label": say("fetching") }), why(""), button("stop", "/stop")];
  if (shown === "waiting") return [why(say("waiting")), button("stop", "/stop")];
  if (shown === "here") return [];
  if (shown === "done") {
    here.add(reference);
    return [why(say("fetched", { path: job.path }), "ok")];
  }
  return [button("fetch", "/fetch"), ...(shown === "failed" ? [why(say("fetch-failed", { why: job.why ?? "" }), "no-good")] : [])];
}

function showProgress(place, job) {
  if (!job.total) return;
  Object.assign(place.querySelector("progress"), { max: job.total, value: job.completed });
  place.querySelector(".why").textContent = say(job.part > 1 ? "fetched-encoder" : "fetched-part", { done: gigabytes(job.completed), all: gigabytes(job.total) });
}
