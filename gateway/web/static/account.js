"use strict";
// Keeps the state of one account up to date; the server says when to ask again.

const panel = document.getElementById("status");
const seen = {};

function replace(part, html) {
  if (seen[part.id] === html) return;
  seen[part.id] = html;
  const open = [...part.querySelectorAll("details")].map((element) => element.open);
  // The part was rendered and escaped by the same template as the whole page.
  const parsed = new DOMParser().parseFromString(html, "text/html");
  part.replaceChildren(...parsed.body.childNodes);
  part.querySelectorAll("details").forEach((element, index) => { element.open = Boolean(open[index]); });
  localTimes(part);
  copyButtons(part);
}

function show(answer) {
  panel.dataset.state = answer.state;
  for (const [id, html] of Object.entries(answer.parts)) replace(document.getElementById(id), html);
}

async function poll() {
  let after = 5;
  if (!document.hidden) {
    try {
      const query = new URLSearchParams({ account: panel.dataset.account });
      const response = await fetch(`/admin/account-state?${query}`, { headers: { Accept: "application/json" } });
      if (response.status === 401) return location.reload();
      if (response.status === 404) return location.assign("/admin/accounts");
      if (response.ok) {
        const answer = await response.json();
        show(answer);
        after = answer.after;
      }
    } catch {
      // The gateway is being restarted or the network is away: ask again later.
    }
  }
  setTimeout(poll, after * 1000);
}

setTimeout(poll, Number(panel.dataset.after) * 1000);
