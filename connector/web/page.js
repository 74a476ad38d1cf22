// What the page does beyond showing: it renews "Now", posts the code of a link, and copies a ticket's text.
'use strict';

// The code stands behind the #, which browsers send to nobody; it is posted, and taken out of the address.
const enter = document.getElementById('enter');
if (enter && location.hash.length > 1) {
  document.getElementById('code').value = location.hash.slice(1);
  history.replaceState(null, '', location.pathname);
  enter.requestSubmit();
}

for (const button of document.querySelectorAll('button.copy')) {
  button.hidden = false;
  button.addEventListener('click', async () => {
    await navigator.clipboard.writeText(button.parentElement.querySelector('pre').textContent);
    button.textContent = 'Copied';
  });
}

const live = document.getElementById('live');
let failures = 0;

// A table that is open stays open, and whoever reads a part with the keyboard keeps their place.
async function renew() {
  if (document.hidden || live.contains(document.activeElement)) return;
  try {
    const answer = await fetch('/now', { headers: { Accept: 'text/html' }, redirect: 'manual' });
    if (answer.type === 'opaqueredirect' || answer.status === 403) { location.reload(); return; }
    if (!answer.ok && answer.status !== 503) throw new Error(String(answer.status));
    const open = [...live.querySelectorAll('details')].map((d) => d.open);
    const made = new DOMParser().parseFromString(await answer.text(), 'text/html');
    live.replaceChildren(...made.body.childNodes);
    live.querySelectorAll('details').forEach((d, i) => { d.open = !!open[i]; });
    failures = 0;
  } catch {
    if (++failures === 2) {
      const say = document.createElement('p');
      say.className = 'state stopped';
      say.setAttribute('role', 'alert');
      say.textContent = 'This page is not renewed any more: postern-web does not answer.';
      live.prepend(say);
    }
  }
}

if (live) setInterval(renew, Number(live.dataset.every) * 1000);
