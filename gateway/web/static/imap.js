"use strict";
// Tests and saves without leaving the page, so that the password need not be typed again.

const form = document.getElementById("imap-form");
const verdicts = document.getElementById("verdicts");

function usualPort(select) {
  const port = document.getElementById(select.dataset.port);
  const usual = [...select.options].map((option) => option.dataset.usual);
  if (usual.includes(port.value)) port.value = select.selectedOptions[0].dataset.usual;
}

function mark(errors) {
  for (const error of form.querySelectorAll("p.error")) error.remove();
  for (const input of form.querySelectorAll("[aria-invalid]")) input.removeAttribute("aria-invalid");
  let first = null;
  for (const [name, sentence] of Object.entries(errors)) {
    const input = form.elements[name];
    if (!input || !name) continue;
    const note = document.createElement("p");
    note.className = "error";
    note.id = `error-${name}`;
    note.textContent = sentence;
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", note.id);
    input.after(note);
    first ??= input;
  }
  first?.focus();
}

function tell(sentence) {
  const note = document.createElement("p");
  note.className = "note";
  note.textContent = sentence;
  verdicts.replaceChildren(note);
}

async function send(button) {
  const buttons = form.querySelectorAll("button");
  const body = new URLSearchParams(new FormData(form, button));
  buttons.forEach((one) => { one.disabled = true; });
  tell("Signing in to the servers …");
  try {
    const response = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json" } });
    const answer = await response.json();
    if (answer.next) return location.assign(answer.next);
    if (answer.error) return tell(answer.error);
    const parsed = new DOMParser().parseFromString(answer.html, "text/html");
    verdicts.replaceChildren(...parsed.body.childNodes);
    mark(answer.errors);
  } catch {
    tell("The gateway could not be reached. Try again.");
  } finally {
    buttons.forEach((one) => { one.disabled = false; });
  }
}

for (const select of form.querySelectorAll("select[data-port]")) {
  select.addEventListener("change", () => usualPort(select));
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send(event.submitter);
});
