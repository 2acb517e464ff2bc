"use strict";
// Shows the parts of the form and the guide that belong to what is chosen.

const form = document.querySelector("form[autocomplete=off]");

function arrange() {
  const chosen = new FormData(form);
  for (const part of document.querySelectorAll("[data-shown-by]")) {
    const [name, value] = part.dataset.shownBy.split("=");
    part.hidden = chosen.get(name) !== value;
    for (const input of part.querySelectorAll("[data-needed]")) input.required = !part.hidden;
  }
}

form.addEventListener("change", arrange);
arrange();
