"use strict";
// Filters operations by the words typed, and copies samples.
const search = document.getElementById("search");
const found = document.getElementById("found");
const entries = [...document.querySelectorAll("[data-search]")];
const groups = [...document.querySelectorAll(".group")];

function filter() {
  const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let shown = 0;
  for (const entry of entries) {
    entry.hidden = !words.every((word) => entry.dataset.search.includes(word));
    if (!entry.hidden && entry.tagName === "LI") shown += 1;
  }
  for (const group of groups) {
    group.hidden = !group.querySelector("[data-search]:not([hidden])");
  }
  found.textContent = words.length ? `${shown} found` : "";
}

search.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search) {
    event.preventDefault();
    search.focus();
  }
});
// A link may lead to an entry that the search hides.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.closest("[hidden]")) {
    search.value = "";
    filter();
    target.scrollIntoView();
  }
});
if (navigator.clipboard) {
  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.parentElement.querySelector("code").textContent);
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
}
filter();
