"use strict";

// Parts that take long are fetched when the rest of the page is there.
for (const part of document.querySelectorAll("[data-load]")) {
  fetch(part.dataset.load)
    .then((answer) => (answer.ok ? answer.text() : Promise.reject(new Error(answer.statusText))))
    .then((html) => { part.innerHTML = html; })
    .catch((error) => { part.append(`They could not be loaded: ${error.message}`); });
}

// Parts that follow what happens; what they are told is a part of a page, made by the server.
for (const part of document.querySelectorAll("[data-follow]")) {
  const state = document.getElementById("following");
  const events = new EventSource(part.dataset.follow);
  events.onopen = () => { state.textContent = "This page follows by itself."; };
  events.onerror = () => { state.textContent = "The connection is lost: what is shown is what was. Trying again."; };
  events.onmessage = (event) => {
    // Whoever has chosen a link with the keyboard keeps it.
    const chosen = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.innerHTML = event.data;
    if (chosen) part.querySelector(`[href="${CSS.escape(chosen)}"]`)?.focus();
  };
}

// "/" goes to the search, as on many pages.
document.addEventListener("keydown", (event) => {
  const field = document.querySelector("[data-key='/']");
  if (!field || event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(document.activeElement.tagName)) return;
  event.preventDefault();
  field.select();
});
