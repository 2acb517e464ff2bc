"use strict";
// Keeps the state of one account up to date; the server says when to ask again.

const panel = document.getElementById("status");
let seen = null;

function show(answer) {
  panel.dataset.state = answer.state;
  if (answer.html === seen) return;
  seen = answer.html;
  const open = [...panel.querySelectorAll("details")].map((element) => element.open);
  // The part was rendered and escaped by the same template as the whole page.
  const parsed = new DOMParser().parseFromString(answer.html, "text/html");
  panel.replaceChildren(...parsed.body.childNodes);
  panel.querySelectorAll("details").forEach((element, index) => { element.open = Boolean(open[index]); });
  localTimes(panel);
  copyButtons(panel);
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
