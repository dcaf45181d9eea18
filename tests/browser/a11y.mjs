// Runs in the page: what can be measured of how well it can be read and worked. Text and what is behind it, labels of what can be worked, and whether anything sticks out.
export function measure() {
  const parse = (s) => {
    const m = s.match(/^rgba?\(([\d.]+)[, ]+([\d.]+)[, ]+([\d.]+)(?:[,/ ]+([\d.]+))?\)$/), c = s.match(/^color\(srgb ([\d.]+) ([\d.]+) ([\d.]+)(?: \/ ([\d.]+))?\)$/);
    if (c)
      return [c[1] * 255, c[2] * 255, c[3] * 255, c[4] === undefined ? 1 : Number(c[4])];
    return m ? [Number(m[1]), Number(m[2]), Number(m[3]), m[4] === undefined ? 1 : Number(m[4])] : null;
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
  const light = (c) => {
    const [r, g, b] = c.map((v) => v / 255).map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ratio = (a, b) => {
    const [x, y] = [light(a), light(b)].sort((p, q) => q - p);
    return (x + 0.05) / (y + 0.05);
  };
  const odd = [];
  function behind(el) {
    const layers = [];
    for (let e = el; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (!c)
        odd.push('a background that is not understood: ' + getComputedStyle(e).backgroundColor);
      else if (c[3] > 0)
        layers.push(c);
      if (c && c[3] === 1)
        break;
    }
    const base = matchMedia('(prefers-color-scheme: dark)').matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((under, top) => over(top, under), base);
  }
  const seen = (e) => e.checkVisibility({ opacityProperty: true, visibilityProperty: true }) && !e.closest('.sr, .skip, [hidden]');
  const pale = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let n; (n = walker.nextNode());) {
    const e = n.parentElement;
    if (!n.textContent.trim() || !seen(e) || e.closest('script, style, noscript, :disabled'))
      continue;
    const s = getComputedStyle(e), fg = parse(s.color), bg = behind(e);
    if (!fg) {
      odd.push('a colour that is not understood: ' + s.color);
      continue;
    }
    let opacity = 1;
    for (let p = e; p; p = p.parentElement)
      opacity *= Number(getComputedStyle(p).opacity);
    const px = parseFloat(s.fontSize), large = px >= 24 || (px >= 18.66 && Number(s.fontWeight) >= 700);
    const r = ratio(over([fg[0], fg[1], fg[2], fg[3] * opacity], bg), bg);
    texts++;
    if (r < (large ? 3 : 4.5))
      pale.push(r.toFixed(2) + ' ' + e.nodeName.toLowerCase() + '.' + e.className + ' ' + JSON.stringify(n.textContent.trim().slice(0, 30)) + ' ' + s.color + ' on ' + bg.map(Math.round));
  }
  const name = (e) => (e.getAttribute('aria-label') || (e.getAttribute('aria-labelledby') || '').split(' ').map((id) => document.getElementById(id)?.textContent || '').join(' ') ||
    [...(e.labels || [])].map((l) => l.textContent).join(' ') || e.textContent || e.title || '').trim();
  const nameless = [...document.querySelectorAll('a[href], button, input, select, textarea, [role="region"], nav, dialog, progress')].filter((e) => !name(e)).map((e) => e.outerHTML.slice(0, 150));
  const unreachable = [...document.querySelectorAll('[onclick], [role="button"]:not(button)')].filter((e) => e.tabIndex < 0).map((e) => e.outerHTML.slice(0, 150));
  const headings = [...document.querySelectorAll('h1')].length;
  return { texts, odd: [...new Set(odd)], pale: [...new Set(pale)], nameless, unreachable, headings, lang: document.documentElement.lang, mains: document.querySelectorAll('main').length };
}

// What makes the page wider than the window.
export function sticksOut() {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width)
    return [];
  const found = [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > width + 0.5).map((e) => e.nodeName + '.' + e.className + ' ' + Math.round(e.getBoundingClientRect().right));
  return ['scrollWidth ' + document.documentElement.scrollWidth + ' of ' + width, ...found.slice(0, 8)];
}
