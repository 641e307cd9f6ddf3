// Dark or light: the system's choice until the switch is used.

const root = document.documentElement;

function apply(theme) {
  if (theme === 'dark' || theme === 'light') root.dataset.theme = theme;
}

export function toggleTheme() {
  const dark = root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const next = dark ? 'light' : 'dark';
  try { localStorage.setItem('theme', next); } catch { /* private windows may forbid it */ }
  apply(next);
}

try { apply(localStorage.getItem('theme')); } catch { /* then the system's */ }
