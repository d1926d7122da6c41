"use strict";
// Filters, and the spec of the network that is pointed at. The page reads well without it.
const specs = JSON.parse(document.getElementById("specs").textContent);
const filters = [...document.querySelectorAll("select[data-filter]")];

function apply() {
  const chosen = Object.fromEntries(filters.map((select) => [select.dataset.filter, select.value]));
  for (const part of document.querySelectorAll("[data-dataset]")) {
    const differs = ([name, value]) =>
      value && part.dataset[name] !== undefined && !part.dataset[name].split(" ").includes(value);
    part.classList.toggle("hidden", Object.entries(chosen).some(differs));
  }
  const shown = document.querySelectorAll("tr[data-method]:not(.hidden)").length;
  document.getElementById("count").textContent = `${shown} networks`;
}

for (const select of filters) {
  select.addEventListener("change", () => {
    for (const other of filters) {
      if (other.dataset.filter === select.dataset.filter) other.value = select.value;
    }
    apply();
  });
}

function show(event) {
  const run = event.target.dataset && event.target.dataset.run;
  if (!run) return;
  const lines = specs.runs[run].map((number) => specs.lines[number]);
  document.getElementById("spec").textContent = [run, ...lines].join("\n");
}

for (const kind of ["pointerover", "focusin", "click"]) document.addEventListener(kind, show);
