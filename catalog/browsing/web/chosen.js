"use strict";
// Copies commands, and writes down what several chosen builds come to: a script, or a set-up file.

const told = (text) => { by("said").textContent = text; };

// --- copying ------------------------------------------------------------------------------------

async function copy(text, button) {
  if (!(await copied(text))) {
    showText("by-hand", text);
    return;
  }
  told(say("copied", { what: text }));
  by("script-said").textContent = say("copied-short");
  clearTimeout(button.telling);
  button.textContent = say("copied-short");
  button.telling = setTimeout(() => { button.textContent = say(button.dataset.word ?? "copy-command"); }, 2000);
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // An address without https has no clipboard of that kind.
    const field = make("textarea", { class: "unseen" });
    field.value = text;
    (by("script").open ? by("script") : document.body).append(field);
    const focused = document.activeElement;
    field.select();
    const isDone = document.execCommand("copy");
    field.remove();
    focused?.focus();
    return isDone;
  }
}

// --- what is chosen -------------------------------------------------------------------------------

// A set-up with what does not run would end there.
const canPick = (row) => !row.has("manual") && !DOES_NOT_FIT.has(row.status);
const isPicked = (row) => picked.includes(row.reference);

function pick(row, isChosen) {
  picked = picked.filter((reference) => reference !== row.reference);
  if (isChosen) picked.push(row.reference);
  writeAddress();
  showPicked();
}

// The builds that are chosen, as they are for the board that is shown.
function pickedRows() {
  if (picked.length === 0) return [];
  const known = new Map(rows.map((row) => [row.reference, row]));
  return picked.map((reference) => known.get(reference)).filter((row) => row && canPick(row));
}

function showPicked() {
  const chosen = pickedRows();
  by("picked").hidden = chosen.length === 0;
  by("picked-count").textContent = say("picked", { n: chosen.length });
  document.body.classList.toggle("has-picked", chosen.length > 0);
}

// --- as a file ------------------------------------------------------------------------------------

function describe(row) {
  return [row.model[0] || row.file, row.quant, row.size && gigabytes(row.size), say(row.status)].filter(Boolean).join(", ");
}

function heading(chosen) {
  const board = [state.soc.toUpperCase(), state.rt && `runtime ${state.rt}`, state.mem && `${state.mem} GB`].filter(Boolean).join(", ");
  return [`# ${say("made-for", { board })}`, `# ${say("made-size", { n: chosen.length, size: sizeOf(chosen) })}`];
}

function sizeOf(chosen) {
  const known = chosen.map((row) => row.size).filter((size) => size !== null);
  if (known.length === 0) return say("size-unknown");
  const size = gigabytes(known.reduce((a, b) => a + b));
  return known.length < chosen.length ? say("size-more", { size }) : size;
}

function script(chosen) {
  return [
    "#!/bin/sh", ...heading(chosen), "set -eu",
    `command -v rkfetch > /dev/null || { echo "rkfetch is not installed here" >&2; exit 1; }`,
    ...chosen.flatMap((row) => ["", `# ${describe(row)}`, row.command]), "",
  ].join("\n");
}

// As `rkfetch lock` reads it. Without a runtime it means the board that it is used on.
function declaration(chosen) {
  const target = state.rt && state.soc !== "unknown" ? [
    "", "[[target]]", `name = ${JSON.stringify(state.soc)}`, `platform = ${JSON.stringify(state.soc)}`,
    `runtime = ${JSON.stringify(state.rt)}`, ...(state.mem ? [`memory = ${JSON.stringify(`${state.mem}G`)}`] : []),
  ] : [];
  const models = chosen.flatMap((row) => ["", `# ${describe(row)}`, "[[model]]", `model = ${JSON.stringify(row.reference)}`, 'to = "models"']);
  return [...heading(chosen), ...target, ...models, ""].join("\n");
}

const FORMS = {
  script: { make: script, file: "set-up.sh" },
  toml: { make: declaration, file: "rkfetch.toml" },
};

function showChosen(form) {
  showText(form, FORMS[form].make(pickedRows()), FORMS[form].file);
}

function showText(what, text, file) {
  by("script-title").textContent = say(`${what}-title`);
  by("script-note").textContent = say(`${what}-note`);
  by("script-said").textContent = "";
  by("forms").hidden = file === undefined;
  for (const radio of document.querySelectorAll("#forms input")) radio.checked = radio.value === what;
  const download = by("download");
  download.hidden = file === undefined;
  URL.revokeObjectURL(download.href);
  download.href = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  download.download = file ?? "";
  by("script-text").value = text;
  if (!by("script").open) by("script").showModal();
  if (file === undefined) by("script-text").select();
}
