// Dark or light: the system's choice until the switch is used.

const root = document.documentElement;

function stored() {
  try { return localStorage.getItem('theme'); } catch { return null; }
}

function apply(theme) {
  if (theme) root.dataset.theme = theme;
  else delete root.dataset.theme;
  dispatchEvent(new Event('theme'));
}

export function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const next = dark ? 'light' : 'dark';
  try { localStorage.setItem('theme', next); } catch { /* private windows may forbid it */ }
  apply(next);
}

/** The value of a colour variable as the canvas understands it. */
export function color(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

const probe = document.createElement('span');
probe.hidden = true;
root.append(probe);
apply(stored());
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => dispatchEvent(new Event('theme')));
