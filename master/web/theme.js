// Light, dark, or as the system has it. A plain script in the head, so that the first paint has the right colours.
(() => {
  'use strict';
  const KEY = 'drover-theme', WORDS = ['system', 'light', 'dark'];
  const root = document.documentElement;

  function read() {
    try {
      const word = localStorage.getItem(KEY);
      return WORDS.includes(word) ? word : 'system';
    } catch {
      return 'system'; // storage is forbidden: for this page only, then
    }
  }

  function apply(word) {
    if (word === 'system')
      delete root.dataset.theme;
    else
      root.dataset.theme = word;
  }

  let word = read();
  apply(word);
  window.addEventListener('storage', (e) => {
    if (e.key === KEY || e.key === null)
      apply(word = read());
  });
  document.addEventListener('click', (e) => {
    const button = e.target.closest && e.target.closest('[data-do="theme"]');
    if (!button)
      return;
    const dark = matchMedia('(prefers-color-scheme: dark)').matches;
    // The first click always changes something that can be seen.
    const order = dark ? ['system', 'light', 'dark'] : ['system', 'dark', 'light'];
    word = order[(order.indexOf(word) + 1) % order.length];
    apply(word);
    try {
      if (word === 'system')
        localStorage.removeItem(KEY);
      else
        localStorage.setItem(KEY, word);
    } catch { /* as above */ }
    button.title = 'Colours: ' + (word === 'system' ? 'as the system has them' : word);
    document.dispatchEvent(new CustomEvent('drover-say', { detail: button.title }));
  });
})();
